"""Quality of generated images, on sets whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from helpers import fidelity, synthesis
from helpers.lesions import CLASSES


def normal(n, shift=0.0, seed=0, d=6):
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


def test_kid_agrees_with_its_definition():
    x, y = normal(7), normal(9, seed=1)

    def k(a, b):
        return (a @ b / 6 + 1) ** 3

    one = np.mean([k(x[i], x[j]) for i in range(7) for j in range(7) if i != j])
    two = np.mean([k(y[i], y[j]) for i in range(9) for j in range(9) if i != j])
    assert fidelity.kid(x, y)["value"] == pytest.approx(one + two - 2 * np.mean([k(a, b) for a in x for b in y]))


def test_kid_is_unbiased_and_its_interval_covers():
    """Small sets of one kind average to zero; intervals around the value of large sets cover it about 95 times in 100."""
    same = [fidelity.kid(normal(30, seed=i), normal(30, seed=1000 + i))["value"] for i in range(150)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(150)
    truth = fidelity.kid(normal(1500, seed=5), normal(1500, 0.7, seed=6))["value"]
    found = [fidelity.kid(normal(80, seed=i), normal(80, 0.7, seed=500 + i)) for i in range(100)]
    assert 0.85 <= np.mean([f["low"] <= truth <= f["high"] for f in found]) <= 1.0


def test_lesions_stay_together_in_the_interval():
    x = np.repeat(normal(25), 4, axis=0) + 0.01 * normal(100, seed=1)
    y = normal(100, 0.5, seed=2)
    width = [np.subtract(*[fidelity.kid(x, y, groups)[end] for end in ("high", "low")]) for groups in (None, np.repeat(np.arange(25), 4))]
    assert width[1] > 1.3 * width[0], "four copies of a lesion are not four lesions"


def test_pairs_of_one_lesion_do_not_make_sets_different():
    """Four views of a lesion resemble each other more than chance; against other lesions of the same kind both measures must say so."""
    found = []
    for i in range(30):
        x, y = (np.repeat(normal(25, seed=seed), 4, axis=0) + 0.05 * normal(100, seed=seed + 1) for seed in (4 * i, 4 * i + 2))
        lesions = np.repeat(np.arange(25), 4)
        found.append([measure(x, y, *groups)["value"] for measure in (fidelity.kid, fidelity.discriminator) for groups in ((lesions, lesions), ())])
    kid, naive_kid, area, naive_area = np.mean(found, axis=0)  # naive: every view counts as a lesion
    assert abs(kid) < 3 * np.std(found, axis=0)[0] / np.sqrt(30) < naive_kid
    assert area < 0.55 < naive_area


def test_a_feature_that_is_silent_in_the_reference_does_not_explode():
    x = normal(50)
    x[:, 0] = 0
    scaled = fidelity.standardised({"reference": x, "other": x + np.eye(6)[0]})
    assert np.abs(scaled["other"]).max() < 10 and scaled["reference"].var(0).mean() == pytest.approx(1)


def test_intervals_of_shares_and_of_the_frechet_distance_cover():
    truth = fidelity.frechet(normal(20000, seed=5), normal(20000, 0.7, seed=6))
    found, close = [], []
    for i in range(60):
        x, y = normal(150, seed=i), normal(150, 0.7, seed=500 + i)
        found.append(fidelity.jackknife(lambda a, b, x=x, y=y: fidelity.frechet(x[a], y[b]), [np.arange(150)] * 2, blocks=10))
        close.append(synthesis.memorisation(np.abs(x[:, 0]), np.abs(normal(150, seed=900 + i)[:, 0]), np.arange(150), share=0.3)["closer"])
    bias = np.mean([f["value"] for f in found]) - truth  # a distance of estimates is biased up; the interval is one of what is estimated
    assert np.mean([f["low"] <= truth + bias <= f["high"] for f in found]) >= 0.88
    assert np.mean([f["low"] <= 0.3 <= f["high"] for f in close]) >= 0.88


def test_prdc_sees_lost_modes_and_noise():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(200, 2)) + np.repeat([[0, 0], [20, 0]], 100, axis=0)
    one_mode, wide = rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) * 40
    lost, noisy = fidelity.prdc(real, one_mode), fidelity.prdc(real, wide)
    assert lost["precision"] > 0.9 and lost["coverage"] < 0.6 and lost["recall"] < 0.6
    assert noisy["precision"] < 0.3 and noisy["density"] < 0.3


def test_discriminator_is_blind_between_equals_and_sharp_otherwise():
    blind = [fidelity.discriminator(normal(100, seed=i), normal(100, seed=50 + i))["value"] for i in range(8)]
    assert np.mean(blind) == pytest.approx(0.5, abs=0.05)
    assert fidelity.discriminator(normal(100), normal(100, 1.5, seed=1))["low"] > 0.9


def test_samples_are_sealed_matched_and_disjoint():
    rng = np.random.default_rng(0)
    dx = np.array(CLASSES)[rng.choice(7, 900, p=[0.05, 0.1, 0.15, 0.05, 0.15, 0.45, 0.05])]
    frame = pd.DataFrame({"dx": dx, "group": [f"g{i // 2}" for i in range(900)],
                          "role": np.repeat(["train", "select", "calibrate", "test"], [500, 150, 150, 100])})
    images = rng.integers(0, 255, (900, 30, 40, 3), dtype=np.uint8)
    images[frame["role"] == "test"] = 0
    made = np.full((700, 32, 43, 3), 7, np.uint8)
    sets = synthesis.samples(frame, images, made, np.repeat(CLASSES, 100), size=32)
    counts = {name: pd.Series(one.dx).value_counts().to_dict() for name, one in sets.items()}
    assert len({tuple(sorted(c.items())) for c in counts.values()}) == 1, "all sets have the same classes"
    assert not set(sets["reference"].groups) & set(sets["other half"].groups), "the halves share no lesion"
    assert all((one.images.max((1, 2, 3)) > 0).all() for one in sets.values()), "no test image"
    assert {one.images.shape[1:] for one in sets.values()} == {(32, 43, 3)}
    more = synthesis.samples(frame, images, made, np.repeat(CLASSES, 100), size=32, shares=False)
    rare = [(one["generated"].dx == "df").sum() for one in (sets, more)]
    assert rare[0] < rare[1] == min((one.dx == "df").sum() for one in more.values()), "as many as there are"


def test_order_of_the_bounds_and_diversity():
    rng = np.random.default_rng(1)
    base = rng.integers(60, 200, (120, 1, 1, 3))
    images = (base + rng.normal(0, 25, (120, 64, 85, 3))).clip(0, 255).astype(np.uint8)
    sample = synthesis.Sample(images, np.repeat(["nv", "mel"], 60), np.arange(120).astype(str))
    same = synthesis.Sample(images[[0] * 60 + [60] * 60], sample.dx, sample.groups)
    assert synthesis.diversity(same, pairs=20)["value"] == pytest.approx(1, abs=1e-3)
    assert synthesis.diversity(sample, pairs=40)["high"] < 0.5
    twice = synthesis.Sample(images, sample.dx, np.repeat(np.arange(60), 2))
    assert synthesis.diversity(twice)["n"] == 30, "no lesion is in two pairs"


def test_a_class_of_few_lesions_has_no_distance_however_many_its_views():
    dx, x = np.repeat(["df", "nv"], 12), normal(24)
    three, twelve = np.repeat(np.arange(3), 4), np.arange(3, 15)
    one = synthesis.Sample(np.zeros((24, 1, 1, 3), np.uint8), dx, np.r_[three, twelve].astype(str))
    table = synthesis.by_class({"reference": x, "made": x + 1}, {"reference": one, "made": one}, ["made"]).set_index("dx")
    assert np.isnan(table.loc["df", "kid"]) and table.loc["nv", "kid"] > 0


def test_copies_are_found_and_independent_images_are_not():
    train, held, fresh = normal(300, d=4), normal(150, d=4, seed=1), normal(150, d=4, seed=2)
    near, far, copy = (fidelity.nearest(x, train)[0] for x in (fresh, held, train[:150] + 1e-3))
    honest, copied = (synthesis.memorisation(made, far, np.arange(150)) | synthesis.memorisation(made, far, np.arange(150), by="nearer")
                      for made in (near, copy))
    assert honest["closer"]["low"] <= 0.05 <= honest["closer"]["high"] + 0.05 and 0.8 < honest["ratio"]["value"] < 1.25
    assert copied["closer"]["value"] == copied["nearer"]["value"] == 1 and copied["ratio"]["high"] < 0.1
    pairs = [(normal(200, seed=i)[:, 0], normal(8, seed=1000 + i)[:, 0]) for i in range(100)]
    few = [synthesis.memorisation(*pair, np.arange(8), by="nearer")["nearer"]["value"] for pair in pairs]
    assert np.mean(few) == pytest.approx(0.5, abs=3 * np.std(few) / 10), "without bias, however few are held out"


def test_probe_gives_probabilities_of_all_classes():
    x = np.concatenate([normal(40), normal(40, 3.0, seed=1)])
    p = synthesis.probe(x, np.repeat(["mel", "nv"], 40), x)
    assert p.shape == (80, 7) and np.allclose(p.sum(1), 1) and (p.argmax(1) == np.repeat([4, 5], 40)).mean() > 0.95
