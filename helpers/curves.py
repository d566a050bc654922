"""ROC and precision-recall curves with pointwise bands that resample lesions."""

import numpy as np

from helpers.thresholds import NOBODY, band, check, rates


def curve(is_mel, p_mel, groups, *, kind="roc", points=101, n_resamples=500, seed=0):
    """ROC or precision-recall curve with a pointwise band, on up to 400 thresholds.

    Parameters
    ----------
    kind : str
        ``roc`` (columns ``false_positive_rate, sensitivity, low, high``, straight lines between thresholds) or ``pr``
        (``recall, precision, low, high``, the best precision at that recall or more).

    Returns
    -------
    DataFrame, ``points`` rows

    References
    ----------
    Davis & Goadrich (2006), The relationship between precision-recall and ROC curves, ICML.

    Examples
    --------
    >>> curve([0, 1], [.2, .9], ["a", "b"], points=3)["sensitivity"].tolist()
    [1.0, 1.0, 1.0]
    """
    is_mel, rows = check(is_mel, p_mel)
    grid, draws = np.linspace(0, 1, points), []
    for p in rows:
        ends = [np.quantile(p[own], np.linspace(0, 1, 200), method="nearest") for own in (is_mel, ~is_mel)]
        cuts = np.unique(np.concatenate([*ends, [0, NOBODY]]))[::-1]
        draws.append(trace(kind, grid, *rates(is_mel, p, cuts, groups, n_resamples=n_resamples, seed=seed)))
    x, name = {"roc": ("false_positive_rate", "sensitivity"), "pr": ("recall", "precision")}[kind]
    return band(np.mean(draws, axis=0), name=name, **{x: grid})


def trace(kind, grid, sensitivity, alarm, share):
    """Curve of every resample, read off at the grid: (b + 1, points)."""
    if kind == "roc":
        # Several thresholds may share a rate: nudging them apart by their order keeps the upper corner.
        return np.array([np.interp(grid, a - 1e-12 * np.arange(len(a))[::-1], s) for a, s in zip(alarm, sensitivity, strict=True)])
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = share * sensitivity / (share * sensitivity + (1 - share) * alarm)
    best = np.maximum.accumulate(np.nan_to_num(precision)[:, ::-1], axis=1)[:, ::-1]
    rows = [b[np.searchsorted(s, np.minimum(grid, s[-1]))] for b, s in zip(best, sensitivity, strict=True)]
    return np.where(np.isfinite(sensitivity[:, -1:]), rows, np.nan)
