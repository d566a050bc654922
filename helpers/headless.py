"""Notebooks run without a browser: papermill that refuses unknown parameters, and clean copies to commit."""

import argparse
import ast
import os
import re
import sys
from pathlib import Path

import nbformat
import papermill

from helpers import paths
from helpers.commands import plainly
from helpers.results import PUBLISH

KERNEL = "python3"


def execute(notebook, output, **parameters):
    """Run a notebook with parameters in the notebooks folder and keep the executed copy, also of a failed one.

    Parameters
    ----------
    notebook, output : Path
    **parameters
        Values for names of the notebook's ``parameters`` cell.

    Raises
    ------
    ValueError
        A parameter that the notebook does not declare, with those that it does.
    papermill.PapermillExecutionError
        A cell failed.
    """
    declared = papermill.inspect_notebook(str(notebook))
    unknown = sorted(set(parameters) - set(declared))
    if unknown:
        raise ValueError(f"{Path(notebook).name} declares no parameter {', '.join(unknown)}: it has {', '.join(sorted(declared))}")
    if any(value != ast.literal_eval(declared[name]["default"]) for name, value in parameters.items() if name != "PRESET"):
        os.environ[PUBLISH] = "0"  # what was tried out is not what the preset says
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TQDM_DISABLE", "1")  # in the kernel too: a stored bar would stay at 0 %
    papermill.execute_notebook(str(notebook), str(output), parameters=parameters, kernel_name=KERNEL, cwd=str(paths.ROOT / "notebooks"),
                               progress_bar=False, extra_arguments=["--log-level=50"])  # papermill tells failures, the kernel only of its end


def clean(executed, target):
    """Write an executed notebook as it is committed: no injected parameters, timings, machine paths or execution metadata."""
    book = nbformat.read(executed, as_version=4)
    book.cells = [cell for cell in book.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    count = 0
    for cell in book.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            cell.outputs = [plain(output, count) for output in cell.outputs if output.get("name") != "stderr"]
    book.metadata = nbformat.from_dict({"kernelspec": {"display_name": "Python 3", "language": "python", "name": KERNEL},
                                        "language_info": {"name": "python"}})
    text = nbformat.writes(book).replace(f"{paths.ROOT}/", "")
    Path(target).write_text(re.sub(r"0x[0-9a-f]{8,}", "0x0", text) + "\n")


def plain(output, count):
    """One output without what changes from run to run."""
    if "execution_count" in output:
        output["execution_count"] = count
    output.pop("metadata", None)
    if output["output_type"] in ("display_data", "execute_result"):
        output["metadata"] = nbformat.from_dict({})
    return output


def refresh():
    """Put the executed notebooks of the quick run, cleaned, in the place of the committed ones; the solutions are run here."""
    for solution in sorted((paths.ROOT / "notebooks" / "solutions").glob("*.ipynb")):
        execute(solution, paths.RUNS / "quick" / "solutions" / solution.name)
        clean(paths.RUNS / "quick" / "solutions" / solution.name, solution)
    for executed in sorted((paths.RUNS / "quick" / "notebooks").glob("*.ipynb")):
        clean(executed, paths.ROOT / "notebooks" / executed.name)
        print(f"notebooks/{executed.name}")


def main(arguments=None):
    """``python -m helpers.headless NOTEBOOK OUTPUT [NAME=VALUE ...]``; or ``... refresh``."""
    if (arguments or sys.argv[1:]) == ["refresh"]:
        return refresh()
    parser = argparse.ArgumentParser(prog="python -m helpers.headless", description="Run one notebook with parameters.")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("parameters", nargs="*", metavar="NAME=VALUE", type=parameter)
    options = parser.parse_args(arguments)
    with plainly():
        execute(options.notebook, options.output, **dict(options.parameters))
    return None


def parameter(text):
    """Name and value of ``NAME=VALUE``: a Python literal, or else a text.

    Examples
    --------
    >>> parameter("PRESET=course"), parameter("TRAIN=False"), parameter("SEEDS=(0, 1)")
    (('PRESET', 'course'), ('TRAIN', False), ('SEEDS', (0, 1)))
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text} is not of the form NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


if __name__ == "__main__":
    main()
