"""The generator sees train images only, resumes exactly, and draws what it should."""

import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers import cvae, data, fidelity, generated, generators, latent, paths, presets, runs, splits, train, vae
from helpers.lesions import CLASSES


def tiny(**changes):
    return generators.generator("quick", **({"arm": "tiny", "image_size": 32, "cache_size": 32, "width": 8, "latent": 8, "epochs": 2,
                                             "per_class": 4} | changes))


class Watched:
    """An image array that remembers which rows were read."""

    def __init__(self, images):
        self.images, self.rows, self.shape = images, set(), images.shape

    def __getitem__(self, row):
        self.rows |= set(np.atleast_1d(np.arange(len(self.images))[row]).tolist())
        return self.images[row]


@pytest.mark.parametrize("fold", [0, 3])
def test_no_image_outside_train_reaches_the_generator(small_project, monkeypatch, fold):
    """Training, the densities of the latent vectors and the drawing read train rows and nothing else."""
    watched = Watched(data.load_images("phantom", 32))
    monkeypatch.setattr(data, "load_images", lambda *_, **__: watched)
    config = tiny(fold=fold, epochs=1)
    cvae.provide(config)
    frame, split = data.load_metadata("phantom"), splits.read("phantom")
    role = split.assign(role=splits.roles(split, fold)).set_index("image_id")["role"]
    assert set(role[frame["image_id"].iloc[sorted(watched.rows)]]) == {"train"}
    assert len(watched.rows) == (role == "train").sum(), "and all of them"


def test_finished_generators_load_and_another_setting_trains_anew(small_project, capsys):
    first = cvae.fit(tiny())
    again = cvae.fit(tiny())
    assert first.label == again.label and (first.centre == again.centre).all() and len(again.history) == 2
    assert (cvae.sample(first, ["mel"] * 3) == cvae.sample(again, ["mel"] * 3)).all()
    assert cvae.fit(tiny(temperature=0.5)).label != first.label, "drawing otherwise is another source, the training is the same"
    assert capsys.readouterr().out == ""
    cvae.fit(tiny(beta=2.0))
    assert "another settings: kept as tiny-s0-f0.old0" in capsys.readouterr().out


def test_resumed_generator_equals_uninterrupted(small_project):
    whole = cvae.fit(tiny(arm="whole", epochs=3))
    assert cvae.fit(tiny(arm="cut", epochs=3), stop_after=1) is None
    cut = cvae.fit(tiny(arm="cut", epochs=3))
    assert whole.history.equals(cut.history)
    assert whole.growth.shape == (3, 7, 32, 43, 3) and (whole.growth == cut.growth).all() and (whole.growth[0] != whole.growth[2]).any()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, cut.network.state_dict()[name]), name


KILLED = """
import sys
from pathlib import Path
from helpers import cvae, generators, paths, phantom
root = Path(sys.argv[1])
for name in ("SPLITS", "PREDICTIONS", "CACHE", "RUNS", "GENERATED"):
    setattr(paths, name, root / name.lower())
small = phantom.metadata(120)
phantom.metadata = lambda n=120, **_: small.copy()
cvae.fit(generators.generator("quick", "killed", image_size=32, cache_size=32, width=8, latent=8, epochs=4, per_class=4))
"""


@pytest.mark.slow
def test_killed_generator_ends_as_if_never_stopped(small_project):
    whole = cvae.fit(tiny(arm="whole", epochs=4))
    home = runs.folder(tiny(arm="killed"))
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(small_project)], cwd=paths.ROOT)
    until = time.monotonic() + 90
    while child.poll() is None and not (home / "last.ckpt").exists() and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(np.random.default_rng().uniform(0, 0.2))
    child.kill()
    child.wait()
    killed = cvae.fit(tiny(arm="killed", epochs=4))
    assert whole.history.equals(killed.history) and (whole.centre == killed.centre).all()


def test_fit_makes_the_missing_pictures_and_replaces_stale_ones(small_project, monkeypatch):
    monkeypatch.setitem(generators.PAINTERS, "quick", tiny(arm="cvae"))
    config = presets.configure("quick", "cvae4", epochs=1, image_size=32, cache_size=32, generated="cvae", per_class=4)
    run = train.fit(config)
    first = generated.sha256("cvae-quick-f0")
    assert run.key["generated"] == first is not None
    monkeypatch.setitem(generators.PAINTERS, "quick", tiny(arm="cvae", temperature=0.7))
    assert train.runs.finished(config) is None, "stale before any new picture is drawn"
    again = train.fit(config)
    assert again.key["generated"] == generated.sha256("cvae-quick-f0") != first
    assert (generated.manifest("cvae-quick-f0")["dx"].value_counts() == 4).all()


def test_shapes_and_ranges(small_project):
    generator = cvae.fit(tiny())
    images, dx = data.load_images("phantom", 32)[:3], data.load_metadata("phantom")["dx"][:3]
    assert cvae.sample(generator, CLASSES).shape == (7, 32, 43, 3)
    assert cvae.reconstruct(generator, images, dx).shape == (3, 32, 43, 3)
    steps = cvae.interpolate(generator, images[:2], "nv", steps=5)
    assert steps.shape == (5, 32, 43, 3) and steps.dtype == np.uint8
    cold = cvae.sample(generator, ["nv"] * 20, temperature=0.01).astype(float)
    assert cold.std(0).mean() < cvae.sample(generator, ["nv"] * 20).astype(float).std(0).mean()


def test_densities_recover_gaussians():
    rng = np.random.default_rng(0)
    target = np.repeat(np.arange(7), 4000)
    scale = rng.normal(size=(2, 2))
    mean = torch.from_numpy(rng.normal(size=(28000, 2)) @ scale.T + target[:, None]).float()
    centre, spread = latent.densities((mean, torch.full_like(mean, 0.1)), target)
    assert np.allclose(centre, np.arange(7)[:, None].repeat(2, 1), atol=0.12)
    assert np.allclose(spread[3] @ spread[3].T, scale @ scale.T + 0.1 * np.eye(2), atol=0.15)


def test_losses_against_closed_forms():
    x, mean = torch.zeros(4, 3, 16, 16), torch.tensor([[1.0, 0.0]] * 4)
    rec, cost, kl = vae.losses_of(x, x + 0.5, mean, torch.zeros(4, 2), free_bits=0.2, edge=0.0)
    assert rec.item() == pytest.approx(0.5 * 768 * np.log(0.25), rel=1e-4)
    assert kl.item() == pytest.approx(0.5) and cost.item() == pytest.approx(0.7), "the empty number costs its free bits, which is a constant"
    smooth = vae.losses_of(x, x + 0.5, mean, torch.zeros(4, 2), free_bits=0.0, edge=2.0)[0]
    assert smooth.item() == pytest.approx(rec.item(), rel=1e-4), "a constant gap has no edges"


def test_classes_are_drawn_more_equally_and_the_pressure_grows(small_project):
    images, target = cvae.training_images(tiny())
    learner = vae.VaeLearner(tiny(), cvae.build(tiny()), images, target)
    progress = SimpleNamespace(current=SimpleNamespace(processed=0))
    learner.trainer = SimpleNamespace(fit_loop=SimpleNamespace(epoch_progress=progress), global_step=0, num_training_batches=10)
    own = np.bincount(target, minlength=7) / len(target)
    for balance, expected in ((0.0, own), (0.5, np.sqrt(own) / np.sqrt(own).sum()), (1.0, np.full(7, 1 / 7))):
        drawn = []
        for seed in range(30):
            learner.config = tiny(balance=balance, seed=seed)
            drawn.append(learner.order(np.arange(len(target))))
        assert np.allclose(np.bincount(target[np.concatenate(drawn)], minlength=7) / np.size(drawn), expected, atol=0.02)
    learner.config, weights = tiny(beta=2.0, warmup=0.5, epochs=4), []
    for learner.trainer.global_step in (0, 10, 20, 39):
        weights.append(learner.pressure())
    assert weights == [0.0, 1.0, 2.0, 2.0], "half way up after a quarter of the steps, at beta from the middle on"


def test_the_full_generator_takes_a_step():
    config = generators.generator("full")
    network = cvae.build(config)
    seen = torch.rand(2, 3, config.image_size, config.image_size) * 2 - 1
    mean, log_variance = network.encode(seen, torch.tensor([0, 6]))
    reconstruction, cost, _ = vae.losses_of(network.decode(mean, torch.tensor([0, 6])), seen, mean, log_variance, free_bits=0.0, edge=0.0)
    (reconstruction + cost).backward()
    assert config.image_size == 96 and mean.shape == (2, 128) and all(torch.isfinite(p.grad).all() for p in network.parameters())


def test_unknown_generator_is_an_error():
    with pytest.raises(ValueError, match="no generator 'gan': choose one of cvae"):
        generators.generator("quick", "gan")


def test_texture_has_the_spectrum_of_what_is_left_out():
    """A decoder that says nothing leaves all out: the drawn noise then has the variance and the colours of the images."""
    rng = np.random.default_rng(0)
    images = torch.from_numpy((128 + 20 * rng.normal(size=(210, 1, 16, 16)) * np.array([1, 0.5, 0.1])[None, :, None, None]).clip(0, 255)).byte()

    class Silent(torch.nn.Module):
        def decode(self, z, classes):
            return torch.zeros(len(z), 3, 16, 16)

    spectrum, colour = latent.texture(Silent(), images, torch.arange(210) % 7, torch.zeros(210, 2))
    flat = np.cov(((images.float() / 127.5 - 1) - (images.float() / 127.5 - 1).mean((2, 3), keepdim=True)).permute(1, 0, 2, 3).reshape(3, -1).numpy())
    assert np.allclose(colour @ colour.T, flat, atol=1e-4)
    assert spectrum.shape == (7, 3, 16, 9) and spectrum[:, 0, 8, 6:].mean().item() == pytest.approx(1, abs=0.1), "white noise has a flat spectrum"
    assert (spectrum[:, :, 0, :4] == 0).all(), "nothing coarse is added"
    assert fidelity.frechet(np.eye(3), np.eye(3)) == pytest.approx(0, abs=1e-9)
