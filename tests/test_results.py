"""The record of a notebook: what is written, where, and what is refused."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from helpers import paths, presets, results

INTERVAL = dict(value=0.8, low=0.7, high=0.9, n=12)
ABOUT = ["preset", "source", "split_sha256", "predictions_sha256", "weights_sha256", "commit", "device", "seeds", "created", "kept"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project with one split, publishing asked for."""
    for name, folder in dict(ROOT=".", FIGURES="figures", RESULTS="report/results", LOCAL="report/local").items():
        monkeypatch.setattr(paths, name, tmp_path / folder)
    monkeypatch.setenv(results.PUBLISH, "1")
    (tmp_path / "data/splits").mkdir(parents=True)
    for source in ("phantom", "ham10000"):
        (tmp_path / f"data/splits/{source}.csv").write_text("image_id,group,part\na,a,0\n")
    return tmp_path


def drawn():
    """A small figure, the same each time."""
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], label="line")
    return figure


def test_record_reads_back_as_written(project):
    book = results.open("03_baseline", preset="quick")
    (project / "predictions.csv.gz").write_bytes(b"rows")
    config = presets.configure("quick", seed=1)
    book.used([SimpleNamespace(file=project / "predictions.csv.gz", config=config, key={"weights": "random"}, device="cpu")])
    book.record({"accuracy": INTERVAL, "images": np.int64(3), "auc_df": float("nan")}, prefix="metadata_only")
    book.table("roles", pd.DataFrame({"role": ["train"], "mel": [4], "share": [0.25]}))
    book.figure(drawn(), "confusion")
    book.save()
    read = results.read("quick", "03_baseline")
    assert set(read) == {"provenance", "figures", "values", "tables"}
    assert list(read["provenance"]) == ABOUT
    assert read["provenance"]["predictions_sha256"] == {"predictions.csv.gz": results.sha256("predictions.csv.gz")}
    assert read["provenance"]["seeds"] == [1], "those that were used, not those of the preset"
    assert read["values"] == {"metadata_only.accuracy": INTERVAL, "metadata_only.images": 3, "metadata_only.auc_df": None}
    assert read["tables"]["roles"] == dict(source="phantom", columns=["role", "mel", "share"], rows=[["train", 4, 0.25]])
    assert {file: results.sha256(file) for file in read["figures"]} == read["figures"]
    assert sorted(read["figures"]) == ["figures/quick/03_baseline_confusion.pdf", "figures/quick/03_baseline_confusion.png"]
    assert [p.name for p in (project / "report/results/quick").iterdir()] == ["03_baseline.json"]


@pytest.mark.parametrize("change", ["not asked", "other field", "other seeds"])
def test_exploring_never_touches_published_results(project, monkeypatch, change):
    published = results.open("01_eda", preset="quick")
    published.record({"images": 1})
    published.save()
    before = (project / "report/results/quick/01_eda.json").read_bytes()
    changed = dict(config=replace(presets.PRESETS["quick"], epochs=1))
    options = {"other field": changed, "other seeds": dict(seeds=[7]), "not asked": {}}[change]
    if change == "not asked":
        monkeypatch.delenv(results.PUBLISH)
    book = results.open("01_eda", preset="quick", **options)
    book.record({"images": 2})
    book.figure(drawn(), "classes")
    book.save()
    assert (project / "report/results/quick/01_eda.json").read_bytes() == before
    assert json.loads((project / "report/local/01_eda.json").read_text())["values"] == {"images": 2}
    assert (project / "figures/local/01_eda_classes.pdf").is_file() and not (project / "figures/quick").exists()


def test_what_is_kept_says_when_it_was_measured_and_never_crosses_splits(project, capsys):
    first = results.open("05_cvae_augmentation", preset="quick")
    assert first.kept("quality").empty and first.provenance()["kept"] == {}
    first.table("quality", pd.DataFrame({"set": ["generated"], "kid": [1.5]}))
    first.record({"ssim.generated": 0.7, "elsewhere.kid": 2.0})
    first.save()
    file = project / "report/results/quick/05_cvae_augmentation.json"
    measured = {part: results.read("quick", "05_cvae_augmentation")["provenance"][part] for part in ("commit", "created")}
    for generation in range(2):  # the second keeps what the first had kept
        record = json.loads(file.read_text())
        record["provenance"] |= dict(commit=f"later{generation}", created=f"later{generation}") if generation else {}
        file.write_text(json.dumps(record))
        book = results.open("05_cvae_augmentation", preset="quick")
        book.table("quality", book.kept("quality"))
        book.keep("ssim", "absent")
        assert book.kept("absent").empty and book.values == {"ssim.generated": 0.7}
        book.save()
        assert results.read("quick", "05_cvae_augmentation")["provenance"]["kept"] == {"quality": measured, "ssim": measured}
    record = json.loads(file.read_text())
    del record["provenance"]["kept"]  # as older records are
    file.write_text(json.dumps(record))
    again = results.open("05_cvae_augmentation", preset="quick")
    assert len(again.kept("quality")) == 1 and again.provenance()["kept"]["quality"]["commit"] == record["provenance"]["commit"]
    (project / "data/splits/phantom.csv").write_text("image_id,group,part\na,a,1\n")
    other = results.open("05_cvae_augmentation", preset="quick")
    other.keep("ssim")
    assert other.kept("quality").empty and other.values == {} and other.provenance()["kept"] == {}
    assert "of another split: nothing of them is kept" in capsys.readouterr().out


@pytest.mark.parametrize("preset, lesions, folder", [
    ("quick", True, "quick"), ("course", False, "course"), ("course", True, "local/course")])
def test_pictures_of_real_lesions_stay_local(project, preset, lesions, folder):
    results.open("01_eda", preset=preset).figure(drawn(), "gallery", lesions=lesions)
    assert [str(file.parent.relative_to(project / "figures")) for file in (project / "figures").rglob("*.*")] == [folder] * 2


def test_same_numbers_give_the_same_bytes(project):
    book = results.open("01_eda", preset="quick")
    book.figure(drawn(), "classes")
    first = dict(book.figures)
    book.figure(drawn(), "classes")
    assert book.figures == first


@pytest.mark.parametrize("value, error, told", [
    ("0.9", TypeError, "mel.auc must be a number"), (True, TypeError, "mel.auc"), (np.ones(2), TypeError, "mel.auc"),
    (dict(value=0.5, n=3), ValueError, "mel.auc lacks low, high")])
def test_refused_values_are_named(project, value, error, told):
    with pytest.raises(error, match=told):
        results.open("03_baseline", preset="quick").record({"auc": value}, prefix="mel")


def test_a_crash_leaves_the_old_record(project, monkeypatch):
    book = results.open("01_eda", preset="quick")
    book.save()
    before = (project / "report/results/quick/01_eda.json").read_bytes()
    book.values["images"] = object()
    with pytest.raises(TypeError):
        book.save()
    assert (project / "report/results/quick/01_eda.json").read_bytes() == before


def test_unknown_names_are_told(project):
    with pytest.raises(ValueError, match="no preset 'quik'"):
        results.open("01_eda", preset="quik")
    with pytest.raises(FileNotFoundError, match="run notebook 09_none with PRESET=quick"):
        results.read("quick", "09_none")


@given(st.floats() | st.integers() | st.floats(width=32).map(np.float32) | st.integers(0, 9).map(np.int64))
def test_every_number_survives_json_unrounded(number):
    plain = results.plain(number, "x")
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain == number if np.isfinite(float(number)) else plain is None


def test_the_commit_is_marked_when_code_was_changed_but_not_when_a_run_wrote_its_results(project):
    for name in ("code.py", "figures/a.pdf", "report/results/quick/a.json"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("before")
    results.git("init", "-q")
    results.git("add", ".")
    results.git("-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "all")
    clean = results.commit()
    for name in ("figures/a.pdf", "report/results/quick/a.json"):
        (project / name).write_text("after")
    assert results.commit() == clean and "+" not in clean
    (project / "code.py").write_text("after")
    assert results.commit() == clean + "+"
