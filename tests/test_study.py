"""Ablation studies: failures are kept, pairs are pairs, and corrections agree with Bayes' rule."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from sklearn.metrics import precision_recall_curve, roc_curve

from helpers import calibration, curves, losses, metrics, presets, runs, slider, splits, study, thresholds, train
from helpers.learner import Learner
from helpers.lesions import CLASSES, MEL, PROBABILITIES

SIZES = np.array([6, 10, 20, 3, 22, 130, 4])


def fake(arm, seed, *, skill=1.5):
    """A finished run with probabilities of a given skill on three roles."""
    generator = np.random.default_rng((len(arm), seed))
    parts = []
    for role in ("select", "calibrate", "test"):
        y = np.repeat(np.arange(7), SIZES)
        odds = np.exp(generator.normal(size=(len(y), 7)) + skill * np.eye(7)[y])
        part = pd.DataFrame(odds / odds.sum(1, keepdims=True), columns=list(PROBABILITIES)).round(5)
        part.insert(0, "dx", np.array(CLASSES)[y])
        part.insert(0, "role", role)
        part.insert(0, "group", [f"{role}{i // 2}" for i in range(len(y))])
        part.insert(0, "image_id", [f"{role}{i}" for i in range(len(y))])
        parts.append(part)
    config = presets.configure("quick", arm, seed=seed)
    return runs.Run(config, {}, pd.concat(parts, ignore_index=True), pd.DataFrame(), "cpu", Path("none"))


@pytest.fixture
def found():
    return study.Study({"baseline": [fake("baseline", 0), fake("baseline", 1)], "weighted": [fake("weighted", 1, skill=3.0)]})


def test_arms_are_paired_by_seed(found):
    _, _, p, base = found.paired("weighted", "test")
    assert p.shape == base.shape and len(p) == 1
    assert (base[0] == found.runs["baseline"][1].role("test")[2]).all(), "seed 1 is compared with seed 1"


def test_differences_agree_with_plain_scores_and_holm(found):
    table = study.differences(found, keys=("accuracy", "mel_recall")).set_index(["arm", "score"])
    _, y, p, base = found.paired("weighted", "test")
    expected = metrics.scores(y, p)["accuracy"] - metrics.scores(y, base)["accuracy"]
    row = table.loc[("weighted", "accuracy")]
    assert row["difference"] == pytest.approx(expected) and row["difference_low"] < expected < row["difference_high"]
    assert row["p_holm"] == row["p"] < 0.01, "one arm in the family, and a large gain"
    assert np.isnan(table.loc[("baseline", "accuracy"), "difference"])


def test_generated_images_are_set_against_as_many_repeated_ones():
    arms = {arm: [fake(arm, 0), fake(arm, 1, skill=skill)] for arm, skill in (("baseline", 1), ("cvae400", 3), ("oversample400", 1), ("cvae100", 2))}
    table = study.duels(study.Study(arms), keys=("accuracy", "macro_f1"))
    assert table[["arm", "control", "score"]].to_numpy().tolist() == [["cvae400", "oversample400", key] for key in ("accuracy", "macro_f1")]
    own, other = (np.mean([metrics.scores(*run.role("test")[1:])["accuracy"] for run in arms[arm]]) for arm in ("cvae400", "oversample400"))
    assert table["difference"][0] == pytest.approx(own - other) and table["n"][0] == SIZES.sum()


def test_the_worst_and_the_best_seed_are_told(found):
    counts = [10, 20, 30, 10, 20, 100, 5]
    row = study.differences(found, keys=("accuracy",), equal_shares=counts).set_index("arm").loc["baseline"]
    (_, y, _), runs = found.runs["baseline"][0].role("test"), found.runs["baseline"]
    moved = [study.corrected(run, "test", counts=counts, target=np.ones(7)) for run in runs]
    single = [metrics.scores(y, run.role("test")[2])["accuracy"] - metrics.scores(y, p)["accuracy"] for run, p in zip(runs, moved, strict=True)]
    assert [row["worst_seed"], row["best_seed"]] == pytest.approx(sorted(single)) and min(single) < max(single)
    assert row["difference"] == pytest.approx(np.mean(single))


def test_recall_at_equal_specificity_is_counted_and_compared_seed_by_seed(found):
    def recall(run):
        (_, y, p), (_, y_test, p_test) = (run.role(role) for role in ("calibrate", "test"))
        others = np.sort(p[y != MEL, MEL])
        cut = next(cut for cut in np.nextafter(others, 2) if (others < cut).mean() >= 0.9)
        return (p_test[y_test == MEL, MEL] >= cut).mean()

    table = study.at_specificity(found, target=0.9).set_index("arm")
    plain, other = [recall(run) for run in found.runs["baseline"]], recall(found.runs["weighted"][0])
    assert table.loc["baseline", "sensitivity"] == pytest.approx(np.mean(plain)) and np.isnan(table.loc["baseline", "difference"])
    row = table.loc["weighted"]
    assert row["difference"] == pytest.approx(other - plain[1]), "seed 1 is compared with seed 1"
    assert row["difference_low"] <= row["difference"] <= row["difference_high"] and row["p_holm"] == row["p"]


def test_a_failed_run_is_shown_and_the_others_go_on(monkeypatch):
    def fit(config):
        if config.seed == 1 and config.arm == "weighted":
            raise RuntimeError("another process is training weighted-s1-f0: wait for it to finish, or stop it")
        return fake(config.arm, config.seed)

    monkeypatch.setattr(train, "fit", fit)
    found = study.gather("quick", ["baseline", "weighted"], seeds=(0, 1))
    assert {arm: len(some) for arm, some in found.runs.items()} == {"baseline": 2, "weighted": 1}
    assert "another process" in found.failed["weighted-s1-f0"]
    assert study.roster(found, ["baseline", "weighted"])["failed"].tolist() == ["none", "weighted-s1-f0"]
    with pytest.raises(ValueError, match="no arm 'wieghted'"):
        study.gather("quick", ["wieghted"])


def test_arms_without_a_common_seed_are_left_out_and_a_missing_baseline_is_told(found):
    found.runs["focal"] = [fake("focal", 7)]
    assert set(study.differences(found, keys=("accuracy",))["arm"]) == {"baseline", "weighted"} == set(study.at_specificity(found, target=0.9)["arm"])
    del found.runs["baseline"]
    found.failed["baseline-s0-f0"] = "OSError: no space left"
    with pytest.raises(ValueError, match="baseline has no finished run.*no space left"):
        study.differences(found, keys=("accuracy",))


def test_choice_never_reads_test(found):
    for run in found.runs["baseline"]:
        run.predictions.loc[run.predictions["role"] == "test", list(PROBABILITIES)] = np.nan
    assert study.choice(found, key="macro_f1").index[0] == "weighted"


shares = st.lists(st.floats(0.02, 1), min_size=7, max_size=7).map(lambda values: np.array(values) / sum(values))


@given(shares, shares, st.integers(0, 2**31))
def test_prior_correction_is_bayes_rule(before, after, seed):
    likelihood = np.random.default_rng(seed).uniform(0.01, 1, (20, 7))
    old, new = (likelihood * share / (likelihood * share).sum(1, keepdims=True) for share in (before, after))
    assert np.allclose(calibration.prior_shift(old, trained=before, target=after), new)


def test_shares_behind_the_arms():
    counts = np.array([60, 100, 200, 30, 220, 1300, 40])
    equal = np.full(7, 1 / 7)
    for arm, expected in {"baseline": counts / counts.sum(), "weighted": equal, "sampler": equal, "logit_adjusted": equal,
                          "sqrt_weighted": np.sqrt(counts) / np.sqrt(counts).sum()}.items():
        assert np.allclose(study.trained_shares(presets.configure("quick", arm), counts), expected), arm
    tripled = study.trained_shares(presets.configure("quick", "mel3"), counts) / (counts / counts.sum())
    assert tripled[MEL] / tripled[0] == pytest.approx(3)


def test_class_counts_come_from_the_split_alone(small_project):
    frame = splits.table(presets.configure("quick"))
    for role in ("train", "test"):
        expected = frame.loc[frame["role"] == role, "dx"].value_counts().reindex(CLASSES, fill_value=0).to_numpy()
        assert (splits.class_counts("phantom", role=role, fold=0) == expected).all()


def test_balanced_sampler_draws_every_class_equally(monkeypatch):
    target = np.repeat(np.arange(7), SIZES * 10)
    classifier = SimpleNamespace(network=torch.nn.Identity())
    learner = Learner(presets.configure("quick", "sampler"), classifier, None, target, train_rows=[], select_rows=[], loss=None)
    drawn = []
    for epoch in range(20):
        monkeypatch.setattr(Learner, "epoch", epoch)
        drawn.append(np.bincount(target[learner.order(np.arange(len(target)))], minlength=7))
    assert chisquare(np.sum(drawn, axis=0)).pvalue > 1e-4 and not (drawn[0] == drawn[1]).all()


@pytest.mark.parametrize("kind", ["ce", "focal", "logit_adjusted"])
def test_losses_have_the_right_gradient(kind):
    loss = losses.loss_function(kind, counts=SIZES, weights=np.linspace(0.5, 1.5, 7))
    logits = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: loss(x, torch.arange(5)), logits)


def test_curves_agree_with_scikit_learn():
    generator = np.random.default_rng(0)
    is_mel = generator.random(300) < 0.3
    p = np.clip(0.3 * is_mel + generator.random(300) * 0.7, 0, 1)
    groups = np.arange(300) // 2
    roc, pr = (curves.curve(is_mel, p, groups, kind=kind, n_resamples=200) for kind in ("roc", "pr"))
    alarms, caught, _ = roc_curve(is_mel, p)
    assert np.allclose(roc["sensitivity"], np.interp(roc["false_positive_rate"], alarms - 1e-9 * np.arange(len(alarms))[::-1], caught), atol=0.02)
    precision, recall, _ = precision_recall_curve(is_mel, p)
    best = [precision[recall >= r].max() for r in pr["recall"]]
    assert np.allclose(pr["precision"], best, atol=0.03)
    for table, name in ((roc, "sensitivity"), (pr, "precision")):
        assert ((table["low"] <= table[name] + 1e-9) & (table[name] <= table["high"] + 1e-9)).mean() > 0.95


@given(st.integers(0, 10**6), st.floats(0.05, 1))
def test_specificity_is_reached_and_no_lower_threshold_does(seed, target):
    generator = np.random.default_rng(seed)
    is_mel, p = np.r_[True, False, generator.random(40) < 0.4], generator.random(42).round(2)
    one = is_mel, p, np.arange(42)
    cut = thresholds.transferred(one, one, target=target, n_resamples=1)[0]
    spared = (p[~is_mel] < cut).mean()
    lower = p[~is_mel][p[~is_mel] < cut].max()
    assert spared >= target - 1e-9 and (p[~is_mel] < lower).mean() < target


def test_slider_gives_a_table_where_nobody_looks(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    is_mel, p = np.array([1, 1, 0, 0, 0], bool), np.array([0.9, 0.2, 0.6, 0.1, 0.1])
    table = slider.melanoma(is_mel, p, start=0.55).set_index("threshold")
    assert table.loc[0.55, ["found", "missed", "false_alarms", "spared"]].tolist() == [1, 1, 1, 2]
    assert table.index.is_monotonic_increasing and 0.55 in table.index
