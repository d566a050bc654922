"""Scores and their intervals: against scikit-learn, closed forms, and what must not change them."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from helpers import intervals, metrics
from helpers.lesions import CLASSES, MEL

PRIOR = np.array([327, 514, 1099, 115, 1113, 6705, 142]) / 10015


def draw(seed, n, *, lesions=None, decimals=2):
    """Random labels, probabilities with many ties, and groups."""
    rng = np.random.default_rng(seed)
    y = rng.choice(7, n, p=PRIOR)
    logits = rng.normal(size=(n, 7)) + 1.5 * np.eye(7)[y]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return y, p.round(decimals), rng.integers(lesions or max(n // 2, 1), size=n)


def reference(y, p):
    """The same scores by scikit-learn, macro averages over the classes in y."""
    called, present = p.argmax(1), np.unique(y)
    areas = {c: roc_auc_score(y == c, p[:, c]) for c in present if len(present) > 1}
    shared = dict(average="macro", zero_division=0, labels=present)
    mel = dict(labels=[MEL], average=None, zero_division=np.nan)
    return {
        "accuracy": np.mean(y == called), "balanced_accuracy": recall_score(y, called, **shared),
        "macro_f1": f1_score(y, called, **shared),
        "macro_auc": np.mean(list(areas.values())) if areas else np.nan, "mel_auc": areas.get(MEL, np.nan),
        "mel_recall": recall_score(y, called, **mel)[0], "mel_precision": precision_score(y, called, **mel)[0],
    }


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 60))
def test_scores_equal_scikit_learn(seed, n):
    y, p, _ = draw(seed, n)
    got = metrics.scores(y, p)
    for name, value in reference(y, p).items():
        np.testing.assert_allclose(got[name], value, rtol=0, atol=1e-12, err_msg=name)
    if len(np.unique(y)) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert got["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, p.argmax(1)), abs=1e-12)


@pytest.mark.parametrize("level", ["image", "lesion"])
@pytest.mark.parametrize("n", [40, 400])
def test_bootstrap_equals_repeating_rows(level, n):
    y, p, groups = draw(3, n)
    if level == "lesion":
        y, p, groups = metrics.lesion_level(y, p, groups)
    counts = intervals.resample(groups, n_resamples=30, seed=5)
    fast = metrics.bootstrap(y, p, groups, n_resamples=30, seed=5)
    member = np.unique(groups.astype(str), return_inverse=True)[1]
    assert {name: values[0] for name, values in fast.items()} == pytest.approx(metrics.scores(y, p), abs=1e-12, nan_ok=True), "as they are"
    for b, row in enumerate(counts, start=1):
        rows = np.repeat(np.arange(len(y)), row[member])
        for name, value in reference(y[rows], p[rows]).items():
            np.testing.assert_allclose(fast[name][b], value, rtol=0, atol=1e-12, err_msg=name)


def test_small_resamples_lose_classes_and_say_nan():
    y, p, groups = np.array([4, 5, 5, 5]), np.eye(7)[[4, 5, 4, 5]], np.arange(4)
    draws = {name: values[1:] for name, values in metrics.bootstrap(y, p, groups, n_resamples=200).items()}
    without = intervals.resample(groups, n_resamples=200)[:, 0] == 0
    assert 0 < without.sum() < 200
    assert np.isnan(draws["mel_recall"][without]).all() and (draws["mel_recall"][~without] == 1).all()
    assert np.isfinite(draws["balanced_accuracy"]).all() and np.isnan(draws["macro_auc"][without]).all()
    assert np.isnan(intervals.percentile([np.nan])).all()


def test_undefined_is_nan_never_one():
    score = metrics.scores([5, 5], np.eye(7)[[5, 5]])
    assert all(np.isnan(score[name]) for name in ("mel_recall", "mel_auc", "mel_precision", "macro_auc", "recall_df", "f1_df"))
    assert score["accuracy"] == score["balanced_accuracy"] == 1
    row = metrics.per_class([5, 5], np.eye(7)[[5, 5]], ["a", "b"], n_resamples=10).set_index("dx").loc["df"]
    assert row["images"] == 0 and np.isnan(row["recall"]) and np.isnan(row["recall_low"])


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_order_and_names_of_images_do_not_matter(seed):
    y, p, groups = draw(seed, 50)
    order = np.random.default_rng(seed).permutation(50)
    one, two = metrics.summary(y, p, groups, n_resamples=20), metrics.summary(y[order], p[order], groups[order], n_resamples=20)
    for name in one:
        np.testing.assert_allclose(list(one[name].values()), list(two[name].values()), atol=1e-12, err_msg=name)


def test_several_seeds_give_the_mean_of_their_scores():
    (y, p, groups), (_, q, _) = draw(1, 300), draw(2, 300)
    both = metrics.bootstrap(y, np.stack([p, q]), groups, n_resamples=20)
    parts = [metrics.bootstrap(y, one, groups, n_resamples=20) for one in (p, q)]
    for name, values in both.items():
        np.testing.assert_allclose(values, (parts[0][name] + parts[1][name]) / 2, atol=1e-12)
    assert metrics.lesion_level(y, np.stack([p, q]), groups)[1].shape[0] == 2


def test_lesion_level_takes_means_and_the_more_urgent_diagnosis():
    y = [CLASSES.index(dx) for dx in ("nv", "mel", "bkl", "bcc", "akiec", "nv")]
    p = np.eye(7)[[0, 1, 2, 3, 4, 5]]
    labels, mean, names = metrics.lesion_level(y, p, ["b", "b", "c", "a", "a", "c"])
    assert [CLASSES[c] for c in labels] == ["akiec", "mel", "bkl"] and names.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(mean, np.array([p[3] + p[4], p[0] + p[1], p[2] + p[5]]) / 2)


def test_resampling_draws_whole_groups():
    counts = intervals.resample(np.repeat(np.arange(30), 3), n_resamples=500, seed=1)
    assert counts.shape == (500, 30) and (counts.sum(1) == 30).all()
    np.testing.assert_allclose(counts.var(), 1 - 1 / 30, rtol=0.05)  # multinomial
    assert (counts == intervals.resample(np.arange(30), n_resamples=500, seed=1)).all()


def test_interval_of_accuracy_has_the_clustered_width():
    # Images of a lesion repeat its outcome, so that 4 images count as 1: the standard error is that of 300 lesions.
    right = np.random.default_rng(0).random(300) < 0.8
    y, p = np.full(1200, MEL), np.eye(7)[np.where(np.repeat(right, 4), MEL, 5)]
    draws = metrics.bootstrap(y, p, np.repeat(np.arange(300), 4), n_resamples=4000, keys=["accuracy"])["accuracy"][1:]
    assert draws.std() == pytest.approx(np.sqrt(right.mean() * (1 - right.mean()) / 300), rel=0.05)


def test_compare_pairs_the_resamples():
    y, p, groups = draw(4, 400)
    same = metrics.compare(y, p, p, groups, n_resamples=50)
    assert all(part["value"] == part["low"] == part["high"] == 0 and part["p"] == 1 for part in same.values())
    better = metrics.compare(y, np.eye(7)[y], p, groups, n_resamples=99)["accuracy"]
    assert better["low"] > 0 and better["p"] == pytest.approx(2 / 100)
    worse = metrics.compare(y, p, np.eye(7)[y], groups, n_resamples=99)["accuracy"]
    np.testing.assert_allclose([worse["value"], worse["low"], worse["high"]], [-better["value"], -better["high"], -better["low"]])


def test_summary_has_every_headline_score_at_both_levels(monkeypatch):
    y, p, groups = draw(6, 300)
    out = metrics.summary(y, p, groups, n_resamples=200)
    assert set(out) == {prefix + key for prefix in ("", "lesion_") for key in metrics.HEADLINE}
    assert all(part["low"] <= part["value"] <= part["high"] for part in out.values())
    assert out["mel_recall"]["n"] == (y == MEL).sum() and out["lesion_accuracy"]["n"] == len(set(groups))
    monkeypatch.setattr(intervals, "LEVEL", 0.5)
    narrow = metrics.summary(y, p, groups, n_resamples=200)
    assert all(out[key]["low"] <= narrow[key]["low"] and narrow[key]["high"] <= out[key]["high"] for key in out)


def test_keys_choose_what_is_computed():
    y, p, groups = draw(7, 100)
    every = metrics.bootstrap(y, p, groups, n_resamples=10)
    for key in ("mel_auc", "auc_nv", "macro_auc", "recall_df"):
        some = metrics.bootstrap(y, p, groups, n_resamples=10, keys=[key])
        assert list(some) == [key]
        np.testing.assert_array_equal(some[key], every[key])


@pytest.mark.parametrize("call, message", [
    (lambda: metrics.scores([0], np.full((1, 6), 0.1)), r"\(n, 7\)"),
    (lambda: metrics.scores([7], np.eye(7)[:1]), "0-6"),
    (lambda: metrics.scores([], np.zeros((0, 7))), "at least one"),
    (lambda: metrics.scores([0], 3 * np.eye(7)[:1]), "softmax"),
    (lambda: metrics.scores([0], np.full((1, 7), np.nan)), "softmax"),
    (lambda: metrics.bootstrap([0], np.eye(7)[:1], ["a", "b"]), "groups must name"),
    (lambda: metrics.bootstrap([0], np.eye(7)[:1], ["a"], keys=["acuracy"], n_resamples=2), "no score acuracy"),
    (lambda: metrics.confusion([0], np.eye(7)[None, :1].repeat(2, 0)), "one run"),
])  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
