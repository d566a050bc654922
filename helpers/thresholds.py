"""Where to call a melanoma: operating points, curves and decisions, with intervals that resample lesions.

In all functions is_mel is (n,) bool, True where the reference diagnosis is melanoma; p_mel is (n,) float, the melanoma
probability in [0, 1], or (s, n) for s seeds, each with its own threshold, whose results are averaged; groups is (n,), the
lesion of each image. Melanoma is called when ``p_mel >= threshold``. Choose on the calibrate role, report on test.
"""

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from helpers.intervals import RESAMPLES, lots, percentile, record
from helpers.metrics import tally

PREVALENCES = (0.01, 0.05, 0.11)  # rare, uncommon, and as in HAM10000
NOBODY = float(np.nextafter(1, 2))  # the threshold above every probability


def check(is_mel, p_mel):
    """Arrays of the right kind, p_mel always (s, n); ValueError on misfits, or where one class only is there."""
    is_mel, p_mel = np.asarray(is_mel, dtype=bool), np.atleast_2d(np.asarray(p_mel, dtype=float))
    if is_mel.ndim != 1 or p_mel.shape[1:] != is_mel.shape:
        raise ValueError(f"p_mel must be (n,) or (seeds, n) with n = {is_mel.size}, got {p_mel.shape}")
    if not (np.isfinite(p_mel).all() and p_mel.min(initial=0) >= 0 and p_mel.max(initial=0) <= 1):
        raise ValueError("p_mel must hold probabilities in [0, 1]: apply softmax to logits first")
    if is_mel.all() or not is_mel.any():
        raise ValueError(f"is_mel needs melanomas and others, got {is_mel.sum()} melanomas among {is_mel.size}: check the role")
    return is_mel, p_mel


def fraction(value, name):
    """ValueError unless a number lies in (0, 1]."""
    if not 0 < value <= 1:
        raise ValueError(f"{name} must be a fraction in (0, 1], got {value:g}" + f": did you mean {value / 100:g}?" * (value > 1))


def per_seed(choose, is_mel, p_mel):
    """Apply ``choose(is_mel, p)`` to each seed: a float for p_mel (n,), an (s,) array for (s, n)."""
    is_mel, rows = check(is_mel, p_mel)
    cuts = np.array([choose(is_mel, row) for row in rows])
    return cuts if np.ndim(p_mel) == 2 else float(cuts[0])


def for_sensitivity(is_mel, p_mel, *, target):
    """Highest threshold that still reaches a target sensitivity.

    Parameters
    ----------
    target : float
        Wanted sensitivity, a fraction in (0, 1].

    Returns
    -------
    float, or (s,) array for several seeds

    Raises
    ------
    ValueError
        One class only, or a target outside (0, 1].

    References
    ----------
    Fawcett (2006), An introduction to ROC analysis, Pattern Recognition Letters 27.

    Examples
    --------
    >>> for_sensitivity([0, 0, 1, 1], [.1, .6, .4, .9], target=1.0)
    0.4
    """
    fraction(target, "target")  # below, a small allowance keeps 0.07 * 100 at 7 melanomas, whatever binary fractions say
    return per_seed(lambda mel, p: np.sort(p[mel])[::-1][int(np.ceil(target * mel.sum() - 1e-9)) - 1], is_mel, p_mel)


def youden(is_mel, p_mel):
    """Threshold with the largest sensitivity + specificity - 1 (Youden 1950), the highest among equals: float or (s,) array.

    Examples
    --------
    >>> youden([0, 0, 1, 1], [.1, .6, .7, .9])
    0.7
    """
    return cost_ratio(is_mel, p_mel, ratio=1, prevalence=0.5)


def cost_ratio(is_mel, p_mel, *, ratio, prevalence=None):
    """Cheapest threshold when a missed melanoma costs ``ratio`` times a needless biopsy: float or (s,) array.

    Parameters
    ----------
    ratio : float
        Above 0. For calibrated probabilities the answer tends to 1 / (1 + ratio).
    prevalence : float, optional
        Share of melanomas where the threshold will be used; that of ``is_mel`` where left out.

    Examples
    --------
    >>> cost_ratio([0, 0, 1, 1], [.1, .6, .4, .9], ratio=10)
    0.4
    """
    if not 0 < ratio < np.inf:
        raise ValueError(f"ratio must be a number above 0, got {ratio:g}: how many needless biopsies is a missed melanoma worth?")
    prevalence is None or fraction(prevalence, "prevalence")

    def cheapest(mel, p):
        false_alarm, caught, cuts = roc_curve(mel, p, drop_intermediate=False)
        share = mel.mean() if prevalence is None else prevalence
        cost = ratio * share * (1 - caught) + (1 - share) * false_alarm
        return min(cuts[np.isclose(cost, cost.min(), rtol=0, atol=1e-12)].max(), NOBODY)

    return per_seed(cheapest, is_mel, p_mel)


def rates(is_mel, p, cuts, groups, *, n_resamples=RESAMPLES, seed=0):
    """Sensitivity, false-positive rate (b + 1, t) and prevalence (b + 1, 1) of cuts (t,); row 0 is without resampling."""
    member, counts = lots(groups, len(is_mel), n_resamples=n_resamples, seed=seed)
    called = np.column_stack([p[:, None] >= np.asarray(cuts), np.ones(len(p))])
    hits, alarms = np.zeros((2, counts.shape[1], called.shape[1]))
    np.add.at(hits, member[is_mel], called[is_mel])
    np.add.at(alarms, member[~is_mel], called[~is_mel])
    hits, alarms = counts @ hits, counts @ alarms
    with np.errstate(invalid="ignore", divide="ignore"):
        return hits[:, :-1] / hits[:, -1:], alarms[:, :-1] / alarms[:, -1:], hits[:, -1:] / (hits + alarms)[:, -1:]


def operating_point(is_mel, p_mel, threshold, *, groups, prevalences=PREVALENCES, n_resamples=RESAMPLES, seed=0):
    """What a threshold brings, and at which price.

    Parameters
    ----------
    threshold : float or (s,) float
        From :func:`for_sensitivity`, :func:`youden` or :func:`cost_ratio` on other data.
    prevalences : sequence of float
        Shares of melanomas, fractions in (0, 1], at which predictive values are given; they leave sensitivity and
        specificity as they are here, which another population may not.

    Returns
    -------
    dict
        ``threshold`` (mean over seeds), and ``{"value", "low", "high", "n"}`` for ``sensitivity``, ``specificity`` and, for
        a prevalence of 5 %, ``ppv_5``, ``npv_5`` and ``nnb_5`` (biopsies for each melanoma found, 1 / PPV). The interval
        holds the threshold fixed. nan where nothing is called.

    Examples
    --------
    >>> got = operating_point([0, 0, 1, 1], [.1, .6, .4, .9], 0.4, groups=list("abcd"), prevalences=[0.5])
    >>> got["sensitivity"]["value"], got["specificity"]["value"], round(got["nnb_50"]["value"], 2)
    (1.0, 0.5, 1.5)
    """
    is_mel, rows = check(is_mel, p_mel)
    cuts, parts = np.broadcast_to(threshold, len(rows)), []
    for p, cut in zip(rows, cuts, strict=True):
        sensitivity, alarm, _ = rates(is_mel, p, [cut], groups, n_resamples=n_resamples, seed=seed)
        parts.append(predictive(sensitivity[:, 0], alarm[:, 0], prevalences))
    out = {"threshold": float(np.mean(cuts))}
    sizes = {"sensitivity": int(is_mel.sum()), "specificity": int((~is_mel).sum())}
    for name in parts[0]:
        out[name] = record(np.mean([part[name] for part in parts], axis=0), n=sizes.get(name, len(is_mel)))
    return out


def transferred(chosen_on, used_on, *, target, n_resamples=RESAMPLES):
    """What the lowest threshold that reaches a target specificity on one set brings on another, its own chance included.

    The lesions of both sets are resampled, and the threshold is chosen anew each time; the same groups give the same resamples, so that
    differences of two runs are paired.

    Parameters
    ----------
    chosen_on, used_on : tuple of is_mel, p_mel, groups
        Of one run.
    target : float
        Specificity, a fraction in (0, 1].

    Returns
    -------
    threshold : float
    sensitivity, specificity : (b + 1,) float
        On the second set; the first is without resampling.

    Examples
    --------
    >>> one = [0, 0, 1, 1], [.1, .6, .4, .9], list("abcd")
    >>> [float(np.ravel(part)[0].round(3)) for part in transferred(one, one, target=0.5)]
    [0.1, 1.0, 0.5]
    """
    fraction(target, "target")
    (mel, (p,)), (mel_used, (p_used,)) = (check(*one[:2]) for one in (chosen_on, used_on))
    member, times = lots(chosen_on[2], len(p), n_resamples=n_resamples, seed=1)  # another chance than that of the second set
    ranked = np.flatnonzero(~mel)[np.argsort(p[~mel], kind="stable")]
    passed = times[:, member[ranked]].cumsum(1)
    cuts = np.nextafter(p[ranked][(passed >= target * passed[:, -1:] - 1e-9).argmax(1)], 2)
    member, times = lots(used_on[2], len(p_used), n_resamples=n_resamples)
    weight, called = times[:, member], p_used >= cuts[:, None]
    with np.errstate(invalid="ignore"):
        sensitivity, alarm = ((weight * called)[:, own].sum(1) / weight[:, own].sum(1) for own in (mel_used, ~mel_used))
    return float(cuts[0]), sensitivity, 1 - alarm


def predictive(sensitivity, alarm, prevalences):
    """Bayes' rule (Altman & Bland 1994, BMJ 309) at several prevalences: dict of arrays like sensitivity and alarm rate."""
    out = {"sensitivity": sensitivity, "specificity": 1 - alarm}
    for share in prevalences:
        fraction(share, "prevalence")
        found, needless = share * sensitivity, (1 - share) * alarm
        spared, missed = (1 - share) * (1 - alarm), share * (1 - sensitivity)
        with np.errstate(invalid="ignore", divide="ignore"):
            biopsies = np.where(found > 0, (found + needless) / found, np.nan)
            values = dict(ppv=found / (found + needless), npv=spared / (spared + missed), nnb=biopsies)
        out |= {f"{name}_{100 * share:g}": value for name, value in values.items()}
    return out


def net_benefit(is_mel, p_mel, groups, *, cuts=None, n_resamples=RESAMPLES, seed=0):
    """Decision curve: melanomas found per image, less the needless biopsies weighed at the odds of the threshold.

    Frame of ``threshold, net_benefit, low, high, treat_all, treat_none``; the prevalence is that of ``is_mel``,
    ``cuts`` (t,) are threshold probabilities in (0, 1), 1 % to 60 % where left out.

    References
    ----------
    Vickers & Elkin (2006), Decision curve analysis, Med. Decis. Making 26.

    Examples
    --------
    >>> net_benefit([0, 1], [.2, .9], ["a", "b"], cuts=[0.5])[["net_benefit", "treat_all"]].iloc[0].tolist()
    [0.5, 0.0]
    """
    is_mel, rows = check(is_mel, p_mel)
    cuts = np.linspace(0.01, 0.6, 60) if cuts is None else np.asarray(cuts, dtype=float)
    if not ((cuts > 0) & (cuts < 1)).all():
        raise ValueError("cuts must be probabilities between 0 and 1, both excluded: at 1 the odds have no end")
    odds, draws = cuts / (1 - cuts), []
    for p in rows:
        sensitivity, alarm, share = rates(is_mel, p, cuts, groups, n_resamples=n_resamples, seed=seed)
        draws.append(np.where(share > 0, share * np.nan_to_num(sensitivity), 0) - (1 - share) * np.nan_to_num(alarm) * odds)
    return band(np.mean(draws, axis=0), threshold=cuts, name="net_benefit").assign(
        treat_all=is_mel.mean() - (1 - is_mel.mean()) * odds, treat_none=0.0)


def band(draws, *, name, **axis):
    """Frame of an axis, a value (row 0 of draws) and its pointwise interval (the other rows)."""
    low, high = np.transpose([percentile(column) for column in draws[1:].T])
    return pd.DataFrame({**axis, name: draws[0], "low": low, "high": high})


def partial_auc(is_mel, p_mel, groups, *, above=0.8, n_resamples=RESAMPLES, seed=0):
    """Area of the ROC curve that lies above a sensitivity, as ISIC 2024 scored it.

    The area between sensitivity ``above`` and 1, to the right of the curve: 0 to 1 - ``above`` (0.2), and half its square
    (0.02) for guessing. Divided by 1 - ``above`` it is the mean specificity there. Returns ``{"value", "low", "high", "n"}``.

    References
    ----------
    McClish (1989), Analyzing a portion of the ROC curve, Med. Decis. Making 9.

    Examples
    --------
    >>> round(partial_auc([0, 0, 1, 1], [.1, .2, .4, .9], list("abcd"))["value"], 6)
    0.2
    """
    is_mel, rows = check(is_mel, p_mel)
    if not 0 < above < 1:
        raise ValueError(f"above must be a sensitivity between 0 and 1, got {above:g}")
    member, counts = lots(groups, len(is_mel), n_resamples=n_resamples, seed=seed)
    draws = np.mean([area_above(is_mel, p, member, counts.T.copy(), above) for p in rows], axis=0)
    return record(draws, n=len(is_mel))


def area_above(is_mel, p, member, draws, above):
    """Area of :func:`partial_auc` under every column of draws (g, b), summed over the melanomas' distinct scores, downwards."""
    cuts = np.unique(p[is_mel])[::-1]
    masses = [(is_mel, "left"), (~is_mel, "right"), (~is_mel, "left")]  # the others above a score, and also those tied with it
    sums = [np.cumsum(tally(np.searchsorted(-cuts, -p[own], side), member[own], len(cuts) + 1, len(draws)) @ draws, axis=0)
            for own, side in masses]
    with np.errstate(invalid="ignore", divide="ignore"):
        caught, before, after = (total[:-1] / total[-1] for total in sums)
        start = np.vstack([np.zeros_like(caught[:1]), caught[:-1]])
        low = np.maximum(start, above)
        share = np.where(caught > low, ((low + caught) / 2 - start) / (caught - start), 0)
    return (np.maximum(caught - low, 0) * (1 - before - share * (after - before))).sum(0)
