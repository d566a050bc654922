"""The notebooks keep the house style, run headless, and their stored outputs are checked by nbval."""

import configparser
import json
import math
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
import tqdm.notebook
from IPython.core.interactiveshell import InteractiveShell

from helpers import headless, intervals, lesions, metrics, paths, presets, progress, results, runs

SANITISE = paths.ROOT / "tests" / "nbval.cfg"
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


def sanitised(text):
    """A text as nbval compares it."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(SANITISE)
    for section in config.sections():
        text = re.sub(config[section]["regex"], config[section]["replace"], text)
    return text


def texts(cell):
    """What a cell printed and showed as text."""
    return [output.text if output.output_type == "stream" else output.get("data", {}).get("text/plain", "") for output in cell.outputs]


def counted(book):
    """Cells after the parameters whose counts nbval compares: not ignored, and with a whole number left in a text that it sanitised."""
    after = book.cells[book.cells.index(tagged(book, "parameters")[0]) + 1 :]
    compared = [cell for cell in after if cell.cell_type == "code" and "nbval-ignore-output" not in cell.metadata.get("tags", [])]
    drawn = r"<Figure size \S+ with \d+ Axes>"
    return [cell for cell in compared if any(re.search(r"\d", re.sub(drawn, "", sanitised(text))) for text in texts(cell))]


def test_nbval_compares_counts_in_every_notebook(book):
    assert counted(book), "no compared cell prints a count: untag one, or split a cell whose counts do not depend on training"


def test_nbval_overlooks_machines_and_fractions_but_no_count():
    line = "03 · source phantom · split 6b5854f6 · commit 0123abc+ · torch 2.15.0 · 12.5 s · kid -0.114 · writes to published results"
    other = line.replace("0123abc+", "9f").replace("2.15.0", "2.16.1").replace("published results", "report/local").replace("12.5 s", "3 seconds")
    assert sanitised(line) == sanitised(other.replace("-0.114", "0.2"))
    for text in ("1,235 images of 932 lesions, 72 x 96 pixels", "8 runs of 4 arms", "38% of 248 images; n = 2,004", "seed 0: 12 of 40", "[4, 7]"):
        assert sanitised(text) == text


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
    assert set(here["tables"]) == set(published["tables"])
    assert numbers(here["values"]) == pytest.approx(numbers(published["values"]), rel=1e-6, abs=1e-9, nan_ok=True)
    for name, table in published["tables"].items():
        assert_same_table(here["tables"][name], table)


def numbers(values):
    """Recorded values as numbers by name, every part of an interval apart; what is undefined is nan."""
    parts = {f"{key}.{part}": one for key, value in values.items() for part, one in (value if isinstance(value, dict) else {"value": value}).items()}
    return {name: math.nan if one is None else one for name, one in parts.items()}


def assert_same_table(found, expected):
    """Columns, texts, counts and empty cells are equal, and fractions but for the last digits."""
    assert found["columns"] == expected["columns"]
    found, expected = (pd.DataFrame(one["rows"], columns=one["columns"]) for one in (found, expected))
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-6, atol=1e-9)


def test_published_leak_follows_from_the_committed_predictions():
    record = results.read("course", "02_dedup_split")
    seeds = presets.seeds("course", "leaky")
    clean, leaky = ([runs.finished(presets.configure("course", arm, seed=seed), published=True) for seed in seeds] for arm in ("baseline", "leaky"))
    assert {paths.relative(run.file): results.sha256(run.file) for run in clean + leaky} == record["provenance"]["predictions_sha256"]
    (test, y, p), (_, _, p_leaky) = (runs.stack(some, "test") for some in (clean, leaky))
    first = ~test.duplicated("group")
    rows = []
    for name, judged, prefix in (("all", first, "leak"), ("with a sibling", first & test.duplicated("group", keep=False), "leak_siblings")):
        for key, gap in metrics.compare(y[judged], p_leaky[:, judged], p[:, judged], test["group"][judged]).items():
            if f"{prefix}.{key}_gain" in record["values"]:
                assert record["values"][f"{prefix}.{key}_gain"] == pytest.approx(gap, rel=1e-6, abs=1e-9), (name, key)
                rows.append(dict(score=key, lesions=name, n=gap["n"], p=gap["p"]) | intervals.flat({"difference": gap}))
    table = pd.DataFrame(rows).assign(p_holm=lambda rows: intervals.holm(rows["p"])).drop(columns="p")
    assert_same_table(record["tables"]["leak"], dict(columns=list(table), rows=table.to_numpy().tolist()))
    counts = dict(seeds=len(seeds), comparisons=len(table), clear=int((table["p_holm"] < 0.05).sum()))
    assert {name: record["values"][f"leak.{name}"] for name in counts} == counts


def test_published_counts_are_those_of_the_committed_split():
    split = json.loads((paths.SPLITS / "ham10000.json").read_text())
    eda, dedup = (results.read("course", stem) for stem in ("01_eda", "02_dedup_split"))
    images = {code: sum(parts) for code, parts in split["images_per_part"].items()}
    classes, roles = (pd.DataFrame(table["rows"], columns=table["columns"]) for table in (eda["tables"]["classes"], dedup["tables"]["roles"]))
    assert classes.set_index("dx")["images"].to_dict() == images == roles[list(lesions.CLASSES)].sum().to_dict()
    assert eda["values"]["images"] == split["images"] == roles["all"].sum() and dedup["values"]["groups"] == split["groups"]
    assert all(record["provenance"]["split_sha256"] == split["sha256"] for record in (eda, dedup))
    for role, parts in {"test": (0, 1), "calibrate": (2,), "select": (3,)}.items():
        expected = {code: sum(split["images_per_part"][code][part] for part in parts) for code in lesions.CLASSES}
        assert roles.set_index("role").loc[role, list(lesions.CLASSES)].to_dict() == expected, role


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
    options = ["-p", "no:cacheprovider", "--nbval", "--nbval-sanitize-with", str(SANITISE)]
    done = subprocess.run([sys.executable, "-m", "pytest", *options, str(place)], capture_output=True, text=True, cwd=paths.ROOT)
    assert "1 failed" in done.stdout, done.stdout[-2000:]
