"""Generated images as a source: manifests, the import door, and what joins the real images in training."""

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.stats import chisquare

from helpers import augment, data, generated, intake, losses, paths, presets, runs, splits, train
from helpers.learner import Batches
from helpers.lesions import CLASSES


@pytest.fixture
def made(small_project):
    """A collection of six pictures of every class, each of one colour."""
    images = np.stack([np.full((24, 32, 3), 10 * i + 5, np.uint8) for i in range(21)])
    generated.write("made", np.concatenate([images] * 2), np.repeat(CLASSES, 6), label_source="condition", generator="test")
    return "made"


def tiny(**changes):
    return presets.configure("quick", **({"arm": "tiny", "epochs": 1, "image_size": 32, "cache_size": 32} | changes))


def test_collections_are_read_back_and_their_sha_enters_the_key(made):
    frame, images = generated.manifest(made), generated.load_images(made, 32)
    assert frame["file"].iloc[0] == "akiec_0000.png" and images.shape == (42, 32, 43, 3) and (images[3] == 35).all()
    plain, with_it = runs.key(tiny()), runs.key(tiny(generated=made, per_class=3))
    assert "generated" not in plain and with_it["generated"] == generated.sha256(made)
    generated.write(made, np.zeros((7, 24, 32, 3), np.uint8), CLASSES, label_source="condition", generator="another")
    assert runs.differing(with_it, runs.key(tiny(generated=made, per_class=3))) == ["generated"]
    assert runs.same_key(with_it, with_it | {"generated": None}), "absent images are taken on trust"


def test_joined_rows_show_what_they_should_without_a_copy():
    images, more = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1).repeat(3, 3), np.full((2, 1, 1, 3), 9, np.uint8)
    joined = generated.Joined(images, more, [4, 5, 6, 0])
    assert joined[np.array([0, 4, 5, 6, 7, 8])][:, 0, 0, 0].tolist() == [0, 4, 4, 9, 9, 0]
    assert joined.images is images and len(joined) == 9 and np.asarray(joined).shape == (9, 1, 1, 3)
    assert (joined[2] == images[2]).all() and joined.nbytes == 27


@pytest.mark.parametrize("change", [dict(generated="made", per_class=5), dict(oversample=5), dict(generated="made", per_class=5, oversample=3)])
def test_what_joins_is_counted_and_real_rows_stay(made, change):
    frame = splits.table(tiny())
    target, rows = frame["dx"].map(CLASSES.index).to_numpy(), train.training_rows(frame)
    images, labels, pool = generated.join(tiny(**change), data.load_images("phantom", 32), target, rows)
    n = sum(change.get(name, 0) for name in ("per_class", "oversample"))
    counts = np.bincount(labels[pool], minlength=7) - np.bincount(target[rows], minlength=7)
    assert counts.tolist() == [0 if code == "nv" else n for code in CLASSES], "the most frequent class gets none"
    assert (pool[: len(rows)] == rows).all() and (labels[: len(target)] == target).all()
    if "oversample" in change and "generated" not in change:
        copies = images.source
        assert set(copies) <= set(rows) and (labels[len(target):] == target[copies]).all(), "only train images are repeated"


def test_sampler_and_class_weights_count_generated_images(made, monkeypatch):
    """Adding generated images must neither switch the sampler off nor leave the weights at the real counts."""
    seen = {}
    monkeypatch.setattr(losses, "class_weights", lambda counts, **_: seen.update(counts=counts) or np.ones(7))
    config, frame = tiny(generated=made, per_class=6, sampler="balanced", class_weight="balanced"), splits.table(tiny())
    learner = train.make_learner(config, frame, train.training_rows(frame))
    real = np.bincount(frame["dx"].map(CLASSES.index).to_numpy()[train.training_rows(frame)], minlength=7)
    assert (seen["counts"] - real).tolist() == [0 if code == "nv" else 6 for code in CLASSES]
    monkeypatch.setattr(type(learner), "epoch", property(lambda self: seen["epoch"]))
    drawn, artificial = np.zeros(7), 0
    for seen["epoch"] in range(40):
        order = learner.order(learner.train_rows)
        drawn += np.bincount(learner.data.target[order].numpy(), minlength=7)
        artificial += (order >= len(frame)).sum()
    assert chisquare(drawn).pvalue > 1e-4 and artificial > 0
    expected = np.sum([6 / (n + 6) / 7 for c, n in zip(CLASSES, real, strict=True) if c != "nv"])
    assert artificial / drawn.sum() == pytest.approx(expected, abs=0.03)


def test_every_arm_takes_as_many_steps_as_the_baseline(made):
    frame = splits.table(tiny())
    rows = train.training_rows(frame)
    steps = {len(train.make_learner(tiny(**change), frame, rows).train_dataloader())
             for change in ({}, dict(generated=made, per_class=6), dict(oversample=50), dict(mixup=0.2, randaug=5))}
    assert len(steps) == 1
    batches = Batches(np.arange(10), 2, lambda rows: rows[::-1].copy(), drawn=6)
    assert [batch.tolist() for batch in batches] == [[9, 8], [7, 6], [5, 4]]


def test_training_with_generated_images_and_heavier_augmentation(made):
    run = train.fit(tiny(generated=made, per_class=6, oversample=2, randaug=5, mixup=0.2))
    assert run.key["generated"] == generated.sha256(made) and not set(run.predictions["role"]) & {"train"}
    with pytest.raises(ValueError, match="made has 6 images of akiec, 7 are wanted"):
        train.fit(tiny(arm="more", generated=made, per_class=7))
    with pytest.raises(FileNotFoundError, match="no generated images 'nowhere'"):
        train.fit(tiny(arm="none", generated="nowhere", per_class=7))


def test_heavier_augmentation_depends_on_its_numbers_alone():
    frames = torch.randint(0, 256, (4, 24, 32, 3), dtype=torch.uint8)
    whole = augment.randaugment(frames, np.array([0.1, 0.5, 0.9, 0.3]), magnitude=9)
    assert (augment.randaugment(frames[2:3], np.array([0.9]), magnitude=9)[0] == whole[2]).all()
    x, target = torch.rand(6, 3, 8, 8), torch.arange(6)
    one, shares = augment.blended(x, target, alpha=0.2, seed=(1, 2, 3))
    again, _ = augment.blended(x, target, alpha=0.2, seed=(1, 2, 3))
    assert (one == again).all() and torch.allclose(shares.sum(1), torch.ones(6)) and shares.shape == (6, 7)


def test_no_dose_is_the_baseline_and_not_trained_twice():
    for preset in presets.PRESETS:
        none = presets.configure(preset, "cvae0", seed=2)
        assert runs.folder(none) == runs.folder(presets.configure(preset, seed=2)) and none.settings() == presets.configure(preset, seed=2).settings()
    assert all(f"oversample{arm['per_class']}" in presets.DOSES for name, arm in presets.ARMS.items() if name in presets.DOSES and "per_class" in arm)
    assert dataclasses.replace(presets.configure("course", "cvae400", fold=1)).collection == "cvae-course-f1"


def put(folder, name, colour=100, size=(80, 60)):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (colour, 50, 50)).save(file)


@pytest.mark.parametrize("how", ["table", "folders", "names"])
def test_import_finds_the_classes(small_project, tmp_path, how):
    place = tmp_path / "Made Elsewhere"
    names = {"table": ["a.png", "b.jpg"], "folders": ["melanoma/a.png", "NV/b.jpg"], "names": ["prompt_mel_1.png", "nv-02.jpg"]}[how]
    for i, name in enumerate(names):
        put(place, name, colour=100 * i, size=(64, 64))
    if how == "table":
        pd.DataFrame({"filename": ["a.png", "b"], "class": ["Melanoma", "nevus"]}).to_csv(place / "labels.csv", index=False)
    frame = intake.collect(place)
    assert sorted(frame["dx"]) == ["mel", "nv"] and set(frame["label_source"]) == {"prompt"}
    assert frame["generator"].str.fullmatch(r"import:[0-9a-f]{64}").all()
    assert generated.load_images("made-elsewhere", 30).shape == (2, 30, 40, 3)


def test_training_with_imported_pictures_and_none_from_another_fold(small_project, tmp_path):
    for i, code in enumerate(CLASSES):
        put(tmp_path / "x", f"{code}.png", colour=30 * i)
    intake.collect(tmp_path / "x")
    run = train.fit(tiny(generated="x", per_class=1))
    assert run.key["generated"] == generated.sha256("x") and "generator" not in run.key
    generated.write("cvae-quick-f1", np.zeros((7, 24, 32, 3), np.uint8), CLASSES, label_source="condition", generator="cvae:0")
    with pytest.raises(ValueError, match="cvae-quick-f1 was drawn by a generator of this project"):
        train.fit(tiny(arm="leak", generated="cvae-quick-f1", per_class=1))


def test_import_tells_files_of_one_name_apart(small_project, tmp_path):
    place = tmp_path / "x"
    for i, name in enumerate(["a/1.png", "b/1.png", "basal cell carcinoma_01.png"]):
        put(place, name, colour=80 * i)
    table = pd.DataFrame({"file": ["a/1.png", "b/1", "basal cell carcinoma_01.png"], "dx": ["mel", "nv", "bcc"]})
    table.to_csv(place / "labels.csv", index=False)
    frame = intake.collect(place)
    assert dict(zip(frame["dx"], generated.load_images("x", 30)[:, 0, 0, 0] // 70, strict=True)) == {"mel": 0, "nv": 1, "bcc": 2}
    table.assign(file=["1.png", "b/1.png", "basal cell carcinoma_01.png"]).to_csv(place / "labels.csv", index=False)
    with pytest.raises(ValueError, match="labels.csv names 1.png, which is more than one file in the folder"):
        intake.collect(place, name="y")
    (place / "labels.csv").unlink()
    with pytest.raises(ValueError, match="no class for a/1.png"):
        intake.collect(place, name="y")
    shutil.rmtree(place / "a"), shutil.rmtree(place / "b")
    assert intake.collect(place, name="y")["dx"].tolist() == ["bcc"]


@pytest.mark.parametrize("names, table, message", [
    ([], None, "no JPEG or PNG pictures in x/"), (["photo.png"], None, "no class for photo.png: give one of akiec"),
    (["a.png"], {"file": ["a.png"], "dx": ["wart"]}, "no class for a.png"), (["a.png"], {"file": ["b.png"], "dx": ["mel"]}, "labels.csv names b.png"),
    (["a.png"], {"name": ["a.png"]}, "it needs file and dx"), (["mel_1.png", "mel_2.png"], None, "are the same picture: keep one"),
    (["mel_vs_nv_1.png"], None, "mel and nv for mel_vs_nv_1.png"), (["bcc/nevus.png"], None, "bcc and nv for bcc/nevus.png")])
def test_import_says_in_one_sentence_what_is_wrong(small_project, tmp_path, names, table, message):
    (tmp_path / "x").mkdir()
    for name in names:
        put(tmp_path / "x", name)
    if table:
        pd.DataFrame(table).to_csv(tmp_path / "x" / "labels.csv", index=False)
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        intake.collect(tmp_path / "x")
    assert not (paths.GENERATED / "x").exists()


def test_import_refuses_broken_small_and_known_ones(small_project, tmp_path, capsys):
    put(tmp_path / "x", "mel_1.png")
    intake.main([str(tmp_path / "x"), "--name", "twice"])
    assert "1 pictures (mel 1), their classes are prompts, not diagnoses" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="twice is there already"):
        intake.main([str(tmp_path / "x"), "--name", "twice"])
    put(tmp_path / "x", "mel_2.png", size=(20, 20))
    with pytest.raises(ValueError, match="mel_2.png cannot be imported .20 x 20 pixels, fewer than 32"):
        intake.collect(tmp_path / "x")
    (tmp_path / "x" / "mel_2.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="mel_2.png cannot be imported .not an image"):
        intake.collect(tmp_path / "x")


def test_a_doctored_manifest_is_refused(made):
    file = generated.folder(made) / "manifest.csv"
    text = file.read_text()
    file.write_text(text.replace("condition", "histo", 1))
    with pytest.raises(ValueError, match="label_source 'histo' for akiec_0000.png"):
        generated.manifest(made)
    file.write_text(text)
    (generated.folder(made) / "mel_0001.png").unlink()
    with pytest.raises(FileNotFoundError, match="1 pictures of made are gone"):
        generated.load_images(made, 32)
    with pytest.raises(ValueError, match="choose another name"):
        generated.folder("../out")
