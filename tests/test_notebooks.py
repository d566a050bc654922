"""The notebooks keep the house style, run headless, and their stored outputs are checked by nbval."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import pytest
import tqdm.notebook
from IPython.core.interactiveshell import InteractiveShell

from helpers import headless, paths, progress, results

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
    outputs = [output for cell in code for output in cell.outputs]
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs)
    assert not any("widget" in kind for output in outputs for kind in output.get("data", {})), "a stored widget is dead: set TQDM_DISABLE=1"


def test_the_first_cell_is_the_same_everywhere_and_does_something_in_colab_alone(monkeypatch, tmp_path):
    books = [nbformat.read(file, as_version=4) for file in NOTEBOOKS]
    first = [next(cell for cell in book.cells if cell.cell_type == "code") for book in books]
    assert all("colab" in cell.metadata["tags"] for cell in first) and len({cell.source for cell in first}) == 1
    shell, calls = InteractiveShell(), []
    monkeypatch.setattr(shell, "system", calls.append)
    monkeypatch.setattr(shell, "run_line_magic", lambda name, line, **_: calls.append(f"{name} {line}"))
    assert shell.run_cell(first[0].source).success and calls == []
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    assert shell.run_cell(first[0].source).success and [call.split()[0] for call in calls] == ["git", "pip", "cd"]
    for folder in ("helpers", "notebooks"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert shell.run_cell(first[0].source).success and len(calls) == 3, "a second run finds the project and does nothing"


def test_bars_of_notebooks_heed_tqdm_disable(monkeypatch):
    monkeypatch.setattr(progress.auto, "tqdm", tqdm.notebook.tqdm)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert progress.tqdm([1]).disable
    monkeypatch.delenv("TQDM_DISABLE")
    assert not progress.tqdm([1], display=False).disable and progress.tqdm([1], disable=True).disable


def test_unknown_parameter_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"declares no parameter PRESTE: it has .*PRESET"):
        headless.execute(NOTEBOOKS[0], tmp_path / "out.ipynb", PRESTE="quick")


def test_only_the_preset_itself_is_published(tmp_path, monkeypatch):
    monkeypatch.setattr(headless.papermill, "execute_notebook", lambda *_, **__: None)
    template = paths.ROOT / "notebooks" / "06_threshold_analysis.ipynb"
    for given, published in (({"PRESET": "course"}, "1"), ({"MISS": 0.1, "SEEDS": None}, "1"), ({"MISS": 0.2}, "0"), ({"ARM": "focal"}, "0")):
        monkeypatch.setenv(results.PUBLISH, "1")
        headless.execute(template, tmp_path / "out.ipynb", **given)
        assert os.environ[results.PUBLISH] == published, given


def test_parameters_of_the_command_are_typed():
    assert [headless.parameter(text)[1] for text in ("A=False", "A=None", "A=-1", "A=0.5", "A=cvae100", "A=a=b", "A=")] == [
        False, None, -1, 0.5, "cvae100", "a=b", ""]
    with pytest.raises(SystemExit):
        headless.main([str(NOTEBOOKS[0]), "out.ipynb", "PRESET"])


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["03_baseline", "04_imbalance_ablations", "05_cvae_augmentation", "06_threshold_analysis"])
def test_published_numbers_follow_from_the_committed_predictions_alone(stem, tmp_path, monkeypatch):
    """The notebook runs with PRESET=course without any data, and its numbers are those that are committed."""
    if not (paths.RESULTS / "course" / f"{stem}.json").is_file():
        pytest.skip(f"{stem} is not published for course yet")
    monkeypatch.setenv("HAM10000_DIR", str(tmp_path / "nothing"))
    monkeypatch.delenv(results.PUBLISH, raising=False)
    headless.execute(paths.ROOT / "notebooks" / f"{stem}.ipynb", tmp_path / "out.ipynb", PRESET="course")
    here, published = json.loads((paths.LOCAL / f"{stem}.json").read_text()), results.read("course", stem)
    assert here["provenance"]["predictions_sha256"] == published["provenance"]["predictions_sha256"]
    for key, value in published["values"].items():
        assert here["values"][key] == (pytest.approx(value, rel=1e-6, abs=1e-9) if value is not None else None), key


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
