"""Operating points, curves, calibration and prediction sets: closed forms, scikit-learn, and properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad
from scipy.special import softmax
from sklearn.metrics import auc, brier_score_loss, roc_auc_score, roc_curve

from helpers import calibration, intervals, thresholds
from helpers.lesions import CLASSES, MEL


def draw(seed, n=200, *, decimals=2):
    """Random melanoma labels, both kinds present, and probabilities with ties."""
    rng = np.random.default_rng(seed)
    is_mel = rng.permutation(np.arange(n) < max(1, n // 5))
    return is_mel, np.clip(rng.beta(1 + 2 * is_mel, 3), 0, 1).round(decimals)


def seven(seed, n, *, sharp=1.0):
    """Labels that really follow ``softmax(logits)``, and the probabilities of logits times ``sharp``."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 7)) * 1.5 + np.log([0.03, 0.05, 0.11, 0.01, 0.11, 0.67, 0.02])
    y = (softmax(logits, axis=1).cumsum(1) < rng.random((n, 1))).sum(1).clip(max=6)
    return y, softmax(sharp * logits, axis=1)


@settings(max_examples=80)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 60), percent=st.integers(1, 100))
def test_for_sensitivity_is_the_highest_that_reaches(seed, n, percent):
    is_mel, p = draw(seed, n)
    cut = thresholds.for_sensitivity(is_mel, p, target=percent / 100)
    reach = lambda t: 100 * (p[is_mel] >= t).sum() >= percent * is_mel.sum()  # noqa: E731
    assert reach(cut) and not any(reach(t) for t in p[p > cut])


def test_seven_of_a_hundred_are_seven():
    assert thresholds.for_sensitivity(np.arange(101) < 100, np.linspace(1, 0, 101), target=0.07) == pytest.approx(0.94)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 60), ratio=st.floats(0.1, 50))
def test_cost_ratio_and_youden_are_the_best_of_all(seed, n, ratio):
    is_mel, p = draw(seed, n)
    cuts = np.append(np.unique(p), thresholds.NOBODY)
    missed = np.array([(p[is_mel] < t).mean() for t in cuts])
    alarms = np.array([(p[~is_mel] >= t).mean() for t in cuts])
    best = np.searchsorted(cuts, thresholds.cost_ratio(is_mel, p, ratio=ratio))
    cost = ratio * is_mel.mean() * missed + (~is_mel).mean() * alarms
    assert cost[best] == pytest.approx(cost.min(), abs=1e-12)
    best = np.searchsorted(cuts, thresholds.youden(is_mel, p))
    assert (missed + alarms)[best] == pytest.approx((missed + alarms).min(), abs=1e-12)


def test_cost_ratio_tends_to_the_bayes_threshold():
    p = np.random.default_rng(0).random(200_000)
    is_mel = np.random.default_rng(1).random(200_000) < p
    assert thresholds.cost_ratio(is_mel, p, ratio=9) == pytest.approx(0.1, abs=0.02)


def test_operating_point_closed_forms():
    is_mel = np.repeat([True, False], [10, 40])
    p = np.concatenate([np.full(9, 0.8), [0.1], np.full(4, 0.7), np.full(36, 0.2)])  # sensitivity and specificity 0.9
    got = thresholds.operating_point(is_mel, p, 0.5, groups=np.arange(50), prevalences=(0.05, 0.2, 1.0))
    assert got["sensitivity"]["value"] == got["specificity"]["value"] == 0.9
    assert got["sensitivity"]["n"] == 10 and got["specificity"]["n"] == 40 and got["threshold"] == 0.5
    assert got["ppv_20"]["value"] == pytest.approx(9 / 13) and got["nnb_20"]["value"] == pytest.approx(13 / 9)
    assert got["ppv_5"]["value"] == pytest.approx(0.045 / (0.045 + 0.095)) and got["npv_20"]["value"] == pytest.approx(36 / 37)
    assert got["ppv_100"]["value"] == 1 and got["npv_100"]["value"] == 0
    assert all(part["low"] <= part["value"] <= part["high"] for name, part in got.items() if name != "threshold")


def test_operating_point_resamples_lesions():
    is_mel, p = draw(0, 500)
    alone = thresholds.operating_point(is_mel, p, 0.4, groups=np.arange(500))["sensitivity"]
    labels, probabilities, groups = (np.repeat(a, 4) for a in (is_mel, p, np.arange(500)))
    four = thresholds.operating_point(labels, probabilities, 0.4, groups=groups)["sensitivity"]
    assert four["value"] == alone["value"] and four["high"] - four["low"] == pytest.approx(alone["high"] - alone["low"])
    none = thresholds.operating_point(is_mel, p, thresholds.NOBODY, groups=np.arange(500), n_resamples=20)
    assert none["sensitivity"]["value"] == 0 and np.isnan(none["ppv_5"]["value"]) and np.isnan(none["nnb_5"]["low"])


def test_several_seeds_have_their_own_thresholds():
    (is_mel, p), q = draw(1), draw(1)[1] / 2
    cuts = thresholds.for_sensitivity(is_mel, np.stack([p, q]), target=0.9)
    assert cuts.tolist() == [thresholds.for_sensitivity(is_mel, one, target=0.9) for one in (p, q)]
    both = thresholds.operating_point(is_mel, np.stack([p, q]), cuts, groups=np.arange(200))
    assert both["sensitivity"] == thresholds.operating_point(is_mel, p, cuts[0], groups=np.arange(200))["sensitivity"]
    assert both["threshold"] == pytest.approx(cuts.mean())


def lowest(is_mel, p, target):
    """The lowest threshold at which a share of the others is spared."""
    cuts = np.nextafter(np.unique(p[~is_mel]), 2)
    return next(cut for cut in cuts if (p[~is_mel] < cut).mean() >= target - 1e-9)


def test_a_transferred_threshold_is_chosen_anew_in_every_resample():
    (mel, p), (mel_used, p_used) = draw(1), draw(2)
    groups, groups_used = np.arange(200) // 2, np.arange(200) // 3
    cut, sensitivity, specificity = thresholds.transferred((mel, p, groups), (mel_used, p_used, groups_used), target=0.8, n_resamples=40)
    assert cut == lowest(mel, p, 0.8)
    times, times_used = (intervals.lots(g, 200, n_resamples=40, seed=seed) for g, seed in ((groups, 1), (groups_used, 0)))
    for b in range(41):
        rows, rows_used = (np.repeat(np.arange(200), counts[b, member].astype(int)) for member, counts in (times, times_used))
        again = lowest(mel[rows], p[rows], 0.8)
        called, is_mel = p_used[rows_used] >= again, mel_used[rows_used]
        assert [sensitivity[b], specificity[b]] == pytest.approx([called[is_mel].mean(), 1 - called[~is_mel].mean()]), b


def test_net_benefit_against_its_definition():
    is_mel, p = draw(2)
    frame = thresholds.net_benefit(is_mel, p, np.arange(200), cuts=[1e-6, 0.2, 0.5], n_resamples=100)
    for row in frame.itertuples():
        called = p >= row.threshold
        wanted = ((called & is_mel).sum() - (called & ~is_mel).sum() * row.threshold / (1 - row.threshold)) / 200
        assert row.net_benefit == pytest.approx(wanted) and row.low <= row.net_benefit <= row.high
    assert frame["net_benefit"][0] == pytest.approx(frame["treat_all"][0], abs=1e-4) and (frame["treat_none"] == 0).all()


def test_partial_auc_is_the_area_above():
    is_mel, p = draw(3, 400)
    got = thresholds.partial_auc(is_mel, p, np.arange(400), above=0.8, n_resamples=50)
    alarm, caught, _ = roc_curve(is_mel, p, drop_intermediate=False)
    grid = np.linspace(0, 1, 400_001)
    band = np.interp(grid, alarm, caught)
    assert got["value"] == pytest.approx(auc(grid, np.maximum(band - 0.8, 0)), abs=1e-5)
    assert got["low"] < got["value"] < got["high"]
    mcclish = roc_auc_score(~is_mel, -p, max_fpr=0.2)
    assert got["value"] == pytest.approx(0.02 + (2 * mcclish - 1) * (0.2 - 0.02), abs=1e-12)
    flat = thresholds.partial_auc(is_mel, np.full(400, 0.5), np.arange(400), n_resamples=5)
    assert flat["value"] == pytest.approx(0.02)
    whole = thresholds.partial_auc(is_mel, p, np.arange(400), above=1e-9, n_resamples=5)
    assert whole["value"] == pytest.approx(roc_auc_score(is_mel, p))


@pytest.mark.parametrize("call, message", [
    (lambda: thresholds.for_sensitivity([0, 1], [0.1, 0.2], target=90), "did you mean 0.9"),
    (lambda: thresholds.for_sensitivity([0, 1], [0.1, 0.2], target=0), "fraction"),
    (lambda: thresholds.for_sensitivity([1, 1], [0.1, 0.2], target=0.9), "2 melanomas among 2"),
    (lambda: thresholds.youden([0, 1], [0.1, 1.2]), "softmax"),
    (lambda: thresholds.youden([0, 1], [0.1]), "n = 2"),
    (lambda: thresholds.cost_ratio([0, 1], [0.1, 0.2], ratio=0), "above 0"),
    (lambda: thresholds.net_benefit([0, 1], [0.1, 0.2], [0, 1], cuts=[1.0]), "excluded"),
    (lambda: thresholds.partial_auc([0, 1], [0.1, 0.2], [0, 1], above=1), "between 0 and 1"),
    (lambda: calibration.conformal_cut([4], np.eye(7)[[4]], miss=5), "fraction"),
    (lambda: calibration.fit_vector([4], np.eye(7)[None, [4]].repeat(2, 0)), "one run"),
    (lambda: calibration.prior_shift(np.eye(7), trained=np.zeros(7), target=np.ones(7)), "above 0"),
    (lambda: calibration.decide(np.eye(7), np.eye(2)), r"\(7, 7\)"),
])  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("sharp", [0.5, 1.0, 2.5])
def test_temperature_undoes_what_was_planted(sharp):
    y, p = seven(0, 20_000, sharp=sharp)
    scaling = calibration.fit_temperature(y, p)
    assert scaling["temperature"] == pytest.approx(sharp, rel=0.05)
    better = calibration.apply_scaling(p, scaling)
    assert (better.argmax(1) == p.argmax(1)).all() and calibration.ece(*calibration.top_label(y, better)) < 0.02
    if sharp != 1:
        assert calibration.ece(*calibration.top_label(y, p)) > 0.03 and calibration.brier(y, better) < calibration.brier(y, p)


def test_vector_scaling_undoes_weighted_training():
    y, p = seven(1, 40_000)
    weights = np.array([3, 2, 1, 8, 1, 0.2, 7.0])
    scaling = calibration.fit_vector(y, calibration.prior_shift(p, trained=np.ones(7), target=weights))
    np.testing.assert_allclose(scaling["slope"], 1, atol=0.1)
    np.testing.assert_allclose(scaling["bias"], -np.log(weights) + np.log(weights).mean(), atol=0.25)
    rare = calibration.fit_vector([4, 5, 5], softmax(np.eye(7)[[4, 5, 5]], axis=1))  # five classes absent
    assert np.isfinite(rare["slope"]).all() and np.isfinite(rare["bias"]).all()


def test_scaling_gradients(monkeypatch):
    seen = []
    result = lambda start: type("Result", (), {"x": start})  # noqa: E731
    monkeypatch.setattr(calibration, "minimize", lambda loss, start, **_: seen.append((loss, start)) or result(start))
    y, p = seven(2, 100, sharp=2)
    calibration.fit_temperature(y, p), calibration.fit_vector(y, p)
    for loss, start in seen:
        x = start + np.random.default_rng(0).normal(size=start.shape) / 4
        assert check_grad(lambda x, f=loss: f(x)[0], lambda x, f=loss: f(x)[1], x) < 1e-5


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_prior_shift_is_bayes_and_goes_back(seed):
    rng = np.random.default_rng(seed)
    p, a, b = rng.dirichlet(np.ones(7), 5), rng.dirichlet(np.ones(7) * 5), rng.dirichlet(np.ones(7) * 5)
    there = calibration.prior_shift(p, trained=a, target=b)
    np.testing.assert_allclose(there.sum(1), 1)
    np.testing.assert_allclose(calibration.prior_shift(there, trained=b, target=3 * a), p, atol=1e-9)
    np.testing.assert_allclose(there[:, 0] / there[:, 1], p[:, 0] / p[:, 1] * (b[0] / a[0]) / (b[1] / a[1]))


def test_brier_equals_scikit_learn():
    y, p = seven(3, 300)
    assert calibration.brier(y, p) == pytest.approx(brier_score_loss(y, p, labels=np.arange(7), scale_by_half=False), abs=1e-12)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 100), bins=st.integers(1, 20))
def test_reliability_keeps_every_image_and_the_means(seed, n, bins):
    rng = np.random.default_rng(seed)
    hit, confidence = rng.random(n) < 0.5, rng.random(n).round(1)
    table = calibration.reliability(hit, confidence, bins=bins)
    assert len(table) <= bins and table["n"].sum() == n and table["said"].is_monotonic_increasing
    assert np.average(table["observed"], weights=table["n"]) == pytest.approx(hit.mean())
    assert abs(hit.mean() - confidence.mean()) - 1e-9 <= calibration.ece(hit, confidence, bins=bins) <= 1


def test_bins_have_equal_counts():
    assert (calibration.reliability(np.ones(150), np.random.default_rng(0).random(150))["n"] == 10).all()


@pytest.mark.parametrize("by_class", [False, True])
def test_conformal_sets_cover(by_class):
    cover = []
    for seed in range(60):
        y, p = seven(seed, 1500)
        cut = calibration.conformal_cut(y[:750], p[:750], miss=0.1, by_class=by_class)
        cover.append(calibration.set_table(y[750:], p[750:], cut).set_index("dx")["coverage"])
    mean = np.mean(cover, axis=0)[[-1, MEL, CLASSES.index("nv")] if by_class else [-1]]
    assert (mean > 0.89).all() and (mean < 0.925).all()


def test_conformal_cut_is_the_exact_rank():
    p = np.full((19, 7), 0.01)
    p[:, MEL] = np.arange(1, 20) / 20
    cut = calibration.conformal_cut(np.full(19, MEL), p, miss=0.1, by_class=True)
    assert cut[MEL] == 0.1 and np.isinf(np.delete(cut, MEL)).all()  # 18 of 19 kept, and (19 + 1) * 0.1 = 2nd smallest


def test_risk_coverage():
    y, p = seven(4, 500)
    hit, confidence = calibration.top_label(y, p)
    table = calibration.risk_coverage(hit, confidence)
    assert table["coverage"].iloc[-1] == 1 and table["risk"].iloc[-1] == pytest.approx(1 - hit.mean())
    assert table["coverage"].is_monotonic_increasing and table["risk"].iloc[:50].mean() < table["risk"].iloc[-1]
    assert len(calibration.risk_coverage([True, False], [0.5, 0.5])) == 1


def test_decide_minimises_the_expected_cost():
    _, p = seven(5, 300)
    assert (calibration.decide(p, 1 - np.eye(7)) == p.argmax(1)).all()
    cost = np.random.default_rng(0).random((7, 7))
    expected = [[sum(row[t] * cost[t, c] for t in range(7)) for c in range(7)] for row in p]
    assert (calibration.decide(p, cost) == np.argmin(expected, axis=1)).all()
    two = 1 - np.eye(7)
    two[MEL] *= 9
    assert calibration.decide([0, 0, 0, 0, 0.11, 0.89, 0], two) == MEL
    assert calibration.decide([0, 0, 0, 0, 0.09, 0.91, 0], two) != MEL
