"""Training: resumes exactly, loads what is finished, and says in one sentence what is wrong."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import augment, losses, metrics, models, paths, presets, runs, splits, train
from helpers.learner import sampling_probabilities
from helpers.lesions import PROBABILITIES


def tiny(**changes):
    return presets.configure("quick", **({"arm": "tiny", "epochs": 3, "image_size": 32, "cache_size": 32} | changes))


@given(st.integers(0, 2**31), st.integers(0, 1000), st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_draws_depend_on_the_image_alone(seed, epoch, images):
    together = augment.draws(seed, epoch, images)
    assert ((together >= 0) & (together < 1)).all()
    for image, row in zip(images, together, strict=True):
        assert (augment.draws(seed, epoch, [image])[0] == row).all()


def test_draws_are_uniform_and_unrelated():
    u = augment.draws(3, 5, np.arange(20_000))
    assert np.abs(u.mean(0) - 0.5).max() < 0.01 and np.abs(u.var(0) - 1 / 12).max() < 0.003
    assert np.abs(np.corrcoef(u.T) - np.eye(u.shape[1])).max() < 0.03
    assert np.abs(np.corrcoef(u[:-1, 0], u[1:, 0])[0, 1]) < 0.03


def test_centre_view_is_the_centre_of_the_frame():
    frame = torch.randint(0, 256, (2, 48, 64, 3), dtype=torch.uint8)
    seen = augment.view(frame, size=48)
    assert torch.allclose(seen, frame[:, :, 8:56].permute(0, 3, 1, 2) / 255, atol=1e-5)


def test_each_image_gets_its_own_view_and_stays_in_range():
    frame = torch.randint(0, 256, (1, 48, 64, 3), dtype=torch.uint8).expand(4, -1, -1, -1)
    seen = augment.view(frame, size=32, uniform=augment.draws(0, 0, range(4)), scale=0.2, colour=0.2)
    assert seen.min() >= 0 and seen.max() <= 1
    assert all(not torch.allclose(seen[i], seen[j]) for i in range(4) for j in range(i))


@pytest.mark.parametrize("kind", ["ce", "focal", "logit_adjusted"])
def test_losses_against_closed_forms(kind):
    counts, weights = np.array([6, 3, 1]), np.array([0.5, 1.0, 1.5])
    logits, target = torch.randn(64, 3), torch.randint(0, 3, (64,))
    got = losses.loss_function(kind, counts=counts, weights=weights if kind == "ce" else np.ones(3))(logits, target)
    shift = torch.as_tensor(np.log(counts / counts.sum()), dtype=torch.float32) if kind == "logit_adjusted" else 0
    p = (logits + shift).softmax(1)[torch.arange(64), target]
    w = torch.as_tensor(weights, dtype=torch.float32)[target]
    expected = {"ce": (w * -p.log()).sum() / w.sum(), "focal": ((1 - p) ** 2 * -p.log()).mean(), "logit_adjusted": -p.log().mean()}[kind]
    assert torch.allclose(got, expected, atol=1e-5)


def test_class_weights_follow_their_formulas():
    counts = np.array([10, 40, 250])
    assert np.allclose(losses.class_weights(counts, kind="balanced") * counts, np.mean(losses.class_weights(counts, kind="balanced") * counts))
    assert np.allclose(losses.class_weights(counts, kind="sqrt") ** 2 * counts, (losses.class_weights(counts, kind="sqrt") ** 2 * counts)[0])
    assert losses.class_weights(counts, kind="none", mel=1, mel_weight=3).tolist() == [1, 3, 1]
    with pytest.raises(ValueError, match="no training image"):
        losses.class_weights([0, 3])


def test_balanced_sampling_draws_classes_equally():
    target = np.repeat([0, 1, 2], [5, 50, 500])
    p = sampling_probabilities(target)
    assert np.allclose([p[target == c].sum() for c in range(3)], 1 / 3)


def test_golden_values_guard_the_recipe():
    """What a fixed batch looks like and costs. When this fails on purpose, raise ``runs.RECIPE`` and write the new numbers here."""
    generator = torch.Generator().manual_seed(0)
    frame = torch.randint(0, 256, (8, 36, 48, 3), dtype=torch.uint8, generator=generator)
    seen = augment.view(frame, size=32, uniform=augment.draws(1, 2, range(8)), scale=0.2, colour=0.1)
    logits, counts = seen.mean((2, 3)) * 10, [50, 30, 20]
    kinds, target = ("ce", "focal", "logit_adjusted"), torch.arange(8) % 3
    costs = [losses.loss_function(kind, counts=counts, weights=[1, 2, 3])(logits, target).item() for kind in kinds]
    assert runs.RECIPE == 1
    assert [seen.mean().item(), seen.std().item(), *costs] == pytest.approx([0.4844, 0.1973, 1.0973, 0.9191, 1.2467], abs=2e-4)


def test_finished_runs_load_and_changed_keys_are_kept_aside(small_project, capsys):
    first = train.fit(tiny(epochs=1))
    again = train.fit(tiny(epochs=1))
    pd.testing.assert_frame_equal(first.predictions, again.predictions)
    assert set(first.predictions["role"]) == {"select", "calibrate", "test"}
    assert np.allclose(first.predictions[list(PROBABILITIES)].sum(1), 1, atol=1e-4)
    train.fit(tiny(epochs=1, lr=1e-3))
    assert "another settings" in capsys.readouterr().out
    assert (runs.folder(tiny()).with_name("tiny-s0-f0.old0") / "predictions.csv.gz").is_file()


def test_published_predictions_count_as_finished(small_project):
    run = train.fit(tiny(epochs=1))
    runs.publish(run)
    for file in runs.folder(run.config).iterdir():
        file.unlink()
    assert train.fit(tiny(epochs=1)).file == runs.published_file(run.config)
    side = runs.sidecar_file(runs.published_file(run.config))
    about = json.loads(side.read_text())
    side.write_text(json.dumps(about | {"key": about["key"] | {"data": None, "weights": None}}))
    assert runs.finished(tiny(epochs=1)) is not None, "absent data and weights are taken on trust"
    side.write_text(json.dumps(about | {"key": about["key"] | {"split": "other"}}))
    assert runs.finished(tiny(epochs=1)) is None


def test_resumed_after_an_epoch_equals_uninterrupted(small_project):
    whole = train.fit(tiny(arm="whole"))
    assert train.fit(tiny(arm="cut"), stop_after=1) is None
    cut = train.fit(tiny(arm="cut"))
    pd.testing.assert_frame_equal(whole.predictions, cut.predictions)
    assert whole.history.drop(columns="seconds").equals(cut.history.drop(columns="seconds"))


def test_an_epoch_without_a_better_score_is_not_lost(small_project, monkeypatch):
    falling, real = iter((0.9, 0.8, 0.7)), metrics.scores
    monkeypatch.setattr(metrics, "scores", lambda y, p: real(y, p) | {"macro_f1": next(falling)})
    train.fit(tiny(arm="falling", epochs=4), stop_after=3)
    home = runs.folder(tiny(arm="falling"))
    assert [torch.load(home / f"{name}.ckpt", weights_only=True)["epoch"] for name in ("best", "last")] == [0, 2]


KILLED = """
import sys
from pathlib import Path
from helpers import paths, phantom, presets, train
root = Path(sys.argv[1])
for name in ("SPLITS", "PREDICTIONS", "CACHE", "RUNS"):
    setattr(paths, name, root / name.lower())
small = phantom.metadata(120)
phantom.metadata = lambda n=120, **_: small.copy()
train.fit(presets.configure("quick", "killed", epochs=3, image_size=32, cache_size=32))
"""


@pytest.mark.slow
def test_killed_at_random_moments_ends_with_the_same_predictions(small_project):
    whole = train.fit(tiny(arm="whole"))
    home, rng = runs.folder(tiny(arm="killed")), np.random.default_rng()
    for _ in range(2):
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(small_project)], cwd=paths.ROOT)
        until = time.monotonic() + 90
        while child.poll() is None and not (home / "last.ckpt").exists() and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.5))
        child.send_signal(signal.SIGKILL)
        child.wait()
    run = train.fit(tiny(arm="killed"))
    pd.testing.assert_frame_equal(whole.predictions, run.predictions)


def hold(folder, ready, release):
    paths.RUNS = folder
    runs.once(tiny(), {}, lambda: None, lambda home: (ready.set(), release.wait(20)))


def test_two_processes_cannot_train_one_run(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, ready, release))
    other.start()
    assert ready.wait(60)
    with pytest.raises(BlockingIOError, match="another process is training quick/tiny-s0-f0"):
        runs.once(tiny(), {}, lambda: None, lambda home: "both")
    release.set()
    other.join()
    assert runs.once(tiny(), {}, lambda: None, lambda home: "made") == "made"
    assert runs.once(tiny(), {}, lambda: "found", lambda home: "made") == "found"


def test_leak_keeps_size_and_classes_and_never_the_probes(small_project):
    frame = splits.table(tiny())
    clean, leaky = train.training_rows(frame), train.training_rows(frame, leak=True, seed=1)
    assert len(clean) == len(leaky) == len(set(leaky))
    assert frame["dx"][clean].value_counts().to_dict() == frame["dx"][leaky].value_counts().to_dict()
    leaked = frame.loc[leaky].query("role == 'test'")
    test = frame[frame["role"] == "test"]
    assert len(leaked) and not set(leaked["image_id"]) & set(test.drop_duplicates("group")["image_id"])


def test_wrong_names_are_refused_with_the_right_ones():
    with pytest.raises(ValueError, match="no preset 'corse': choose one of quick"):
        presets.configure("corse")
    with pytest.raises(ValueError, match="no arm 'fokal'"):
        presets.configure("quick", "fokal")
    with pytest.raises(ValueError, match="no field epoch "):
        presets.configure("quick", epoch=3)
    with pytest.raises(ValueError, match="fold must be 0-4"):
        presets.configure("quick", fold=5)
    with pytest.raises(ValueError, match="timm knows no backbone"):
        models.create(presets.configure("quick", "x", backbone="resnet_fifty"))


def test_weights_of_another_architecture_are_refused(tmp_path, monkeypatch):
    file = tmp_path / "w.pth"
    file.write_bytes(b"")
    file.with_suffix(".json").write_text(json.dumps({"model": "resnet18"}))
    monkeypatch.setenv("SKIN_WEIGHTS", str(file))
    with pytest.raises(ValueError, match="holds weights of resnet18, not of mobilenetv2_100"):
        models.create(presets.configure("course"))


def test_full_preset_builds_and_takes_one_step(monkeypatch):
    monkeypatch.delenv("SKIN_WEIGHTS", raising=False)
    config = presets.configure("full", "one_step", weights="random")
    classifier = models.create(config)
    x = classifier.normalise(torch.rand(2, 3, config.image_size, config.image_size))
    loss = losses.loss_function(config.loss, counts=np.ones(7), weights=np.ones(7))(classifier.network(x), torch.tensor([0, 4]))
    loss.backward()
    assert loss.item() == pytest.approx(np.log(7), abs=1e-4), "a head at zero starts from ln 7"
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in classifier.network.parameters())


@pytest.mark.real
@pytest.mark.skipif(not os.environ.get("HAM10000_DIR"), reason="needs HAM10000_DIR")
def test_published_baseline_belongs_to_the_real_data():
    config = presets.configure("course")
    run = runs.load(runs.published_file(config), config)
    assert run is not None and runs.same_key(run.key, runs.key(config))
