"""The notebooks keep the house style, run headless, and their stored outputs are checked by nbval."""

import subprocess
import sys

import nbformat
import pytest

from helpers import headless, paths

NOTEBOOKS = sorted((paths.ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def book(request):
    return nbformat.read(request.param, as_version=4)


def tagged(book, tag):
    return [cell for cell in book.cells if tag in cell.metadata.get("tags", [])]


def test_house_style(book):
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert len(tagged(book, "parameters")) == 1 and len(tagged(book, "colab")) == 1
    assert all(len(cell.source.splitlines()) <= 15 for cell in code)
    assert not any(line.startswith(("def ", "class ")) for cell in code for line in cell.source.splitlines())
    assert book.cells[0].source.startswith("# ") and "What we found" in "".join(cell.source for cell in book.cells)
    assert all(cell.execution_count for cell in code), "commit executed notebooks: make notebooks"
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)


def test_unknown_parameter_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"declares no parameter PRESTE: it has .*PRESET"):
        headless.execute(NOTEBOOKS[0], tmp_path / "out.ipynb", PRESTE="quick")


@pytest.mark.slow
def test_nbval_sees_a_doctored_count(tmp_path):
    """The stored notebook passes; with one stored count changed, exactly that cell fails."""
    book = nbformat.read(NOTEBOOKS[0], as_version=4)
    cells = [cell for cell in book.cells if cell.cell_type == "code" and "images of" in str(cell.outputs)]
    cell = next(cell for cell in cells if "lesions," in str(cell.outputs))
    output = next(output for output in cell.outputs if output.output_type == "stream")
    output.text = output.text.replace("1,", "9,", 1)
    place = tmp_path / "01_doctored.ipynb"
    nbformat.write(book, place)
    options = ["-p", "no:cacheprovider", "--nbval", "--nbval-sanitize-with", str(paths.ROOT / "tests/nbval.cfg")]
    done = subprocess.run([sys.executable, "-m", "pytest", *options, str(place)], capture_output=True, text=True, cwd=paths.ROOT)
    assert "1 failed" in done.stdout, done.stdout[-2000:]
