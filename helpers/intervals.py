"""95 % intervals that resample lesions instead of images: the lots, what they say of a number, and how tables and sentences show it.

In all functions groups is (n,), the lesion of each image. Draws are (b + 1,) float: a number as it is, then the same in b resamples.
"""

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

RESAMPLES = 2000
LEVEL = 0.95
FEW = 30  # lesions below which a group says next to nothing, and its interval is too narrow
ENDS = {"value": "", "low": "_low", "high": "_high"}
NOTHING = dict.fromkeys(("value", "low", "high", "p"), np.nan)  # a record of what was not measured


def index(groups, n):
    """Sorted names of the groups, and each image's position among them."""
    groups = np.asarray(groups, dtype=str)
    if groups.shape != (n,):
        raise ValueError(f"groups must name the lesion of each of the {n} images, got shape {groups.shape}")
    return np.unique(groups, return_inverse=True)


def resample(groups, *, n_resamples=RESAMPLES, seed=0):
    """How often each group is drawn in each bootstrap resample of groups: (b, g) int32, sorted groups, rows sum to g.

    Examples
    --------
    >>> int(resample(["b", "a", "a"], n_resamples=1).sum())
    2
    """
    size = len(np.unique(np.asarray(groups, dtype=str)))
    rng = np.random.default_rng(seed)
    counts = np.empty((n_resamples, size), dtype=np.int32)
    for row in counts:
        row[:] = np.bincount(rng.integers(size, size=size), minlength=size)
    return counts


def lots(groups, n, *, n_resamples=RESAMPLES, seed=0):
    """Group of each of n images (n,), and how often each group is drawn, (b + 1, g) float; row 0 has every group once.

    Examples
    --------
    >>> member, times = lots(["b", "a", "a"], 3, n_resamples=5)
    >>> member.tolist(), times[0].tolist(), times[1:].sum(1).tolist()
    ([1, 0, 0], [1.0, 1.0], [2.0, 2.0, 2.0, 2.0, 2.0])
    """
    counts = resample(groups, n_resamples=n_resamples, seed=seed)
    return index(groups, n)[1], np.vstack([np.ones(counts.shape[1]), counts])


def percentile(draws):
    """Percentile interval of resamples (b,), undefined ones left out; (nan, nan) where none is defined."""
    draws = np.asarray(draws)[np.isfinite(draws)]
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if len(draws) else (np.nan, np.nan)
    return float(low), float(high)


def record(draws, *, n):
    """A number with its interval, ``{"value", "low", "high", "n"}``; n is what it was computed from.

    Examples
    --------
    >>> record([0.5, 0.25, 0.25], n=9)
    {'value': 0.5, 'low': 0.25, 'high': 0.25, 'n': 9}
    """
    low, high = percentile(draws[1:])
    return dict(value=float(draws[0]), low=low, high=high, n=n)


def contrast(draws, *, n):
    """A difference: its :func:`record`, and ``p``.

    p is two-sided, twice the share of resamples on the rarer side of zero, never below 2 / (b + 1). Correct several of them with :func:`holm`.

    Examples
    --------
    >>> contrast(np.array([0.5, 0.25, 0.5, np.nan, 0.75]), n=9)["p"]
    0.5
    """
    seen = draws[1:][np.isfinite(draws[1:])]
    tail = min((seen <= 0).sum(), (seen >= 0).sum()) + 1
    return record(draws, n=n) | dict(p=float(min(1.0, 2 * tail / (len(seen) + 1))) if len(seen) else np.nan)


def holm(p_values):
    """Holm-corrected p values of one family of comparisons; nan stays nan and does not count.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6.

    Examples
    --------
    >>> holm([0.01, 0.04, np.nan]).tolist()
    [0.02, 0.04, nan]
    """
    p_values = np.array(p_values, dtype=float)
    defined = np.isfinite(p_values)
    if defined.any():
        p_values[defined] = multipletests(p_values[defined], method="holm")[1]
    return p_values


def summary(values, groups, *, n_resamples=RESAMPLES, seed=0):
    """Means of some columns with lesion-clustered intervals.

    Parameters
    ----------
    values : DataFrame of n rows
        nan where undefined.
    groups : (n,)

    Returns
    -------
    dict
        column -> ``{"value", "low", "high", "n"}``; n counts the defined values.

    Examples
    --------
    >>> summary(pd.DataFrame(dict(a=[1.0, 0.0, np.nan])), ["x", "x", "y"])["a"]
    {'value': 0.5, 'low': 0.5, 'high': 0.5, 'n': 2}
    """
    table = np.asarray(values, dtype=float)
    member, times = lots(groups, len(table), n_resamples=n_resamples, seed=seed)
    known = np.isfinite(table)
    sums, counts = np.zeros((2, times.shape[1], table.shape[1]))
    np.add.at(sums, member, np.where(known, table, 0))
    np.add.at(counts, member, known)
    with np.errstate(invalid="ignore"):
        draws = (times @ sums) / (times @ counts)
    return {name: record(draws[:, j], n=int(known[:, j].sum())) for j, name in enumerate(values.columns)}


def wide(summaries, *, index="method"):
    """A table from summaries by row name: ``index, n``, and for every score ``x, x_low, x_high``."""
    rows = []
    for name, found in summaries.items():
        rows.append({index: name, "n": max(one["n"] for one in found.values())} | flat(found))
    return pd.DataFrame(rows)


def flat(found):
    """Records as a part of a table's row.

    Examples
    --------
    >>> flat(dict(auc=dict(value=0.8, low=0.7, high=0.9, n=5)))
    {'auc': 0.8, 'auc_low': 0.7, 'auc_high': 0.9}
    """
    return {key + end: one[part] for key, one in found.items() for part, end in ENDS.items()}


def narrow(row, key):
    """One score of a table's row as the record it came from; its n where the row has one.

    Examples
    --------
    >>> narrow(dict(auc=0.8, auc_low=0.7, auc_high=0.9, n=5), "auc")
    {'value': 0.8, 'low': 0.7, 'high': 0.9, 'n': 5}
    """
    return {part: float(row[key + end]) for part, end in ENDS.items()} | ({"n": int(row["n"])} if "n" in row else {})


def say(one, key=None, *, sign=""):
    """A value with its interval, for a sentence: a record, or the score ``key`` of a table's row.

    Examples
    --------
    >>> say(dict(value=0.8, low=0.7, high=0.9, n=5))
    '0.800 [0.700, 0.900]'
    >>> say(dict(kid=0.5, kid_low=0.25, kid_high=0.75), "kid", sign="+")
    '+0.500 [+0.250, +0.750]'
    """
    one = one if key is None else narrow(one, key)
    return f"{one['value']:{sign}.3f} [{one['low']:{sign}.3f}, {one['high']:{sign}.3f}]"


def readable(table):
    """A table for the eye: x, x_low and x_high become one column of texts, other numbers have three decimals; what is undefined is a dash.

    Examples
    --------
    >>> table = pd.DataFrame(dict(arm=["a", "b"], auc=[0.8, np.nan], auc_low=[0.7, np.nan], auc_high=[0.9, np.nan]))
    >>> readable(table)["auc"].tolist()
    ['0.800 [0.700, 0.900]', '–']
    """
    ranged = [key for key in table if f"{key}_low" in table]
    texts = {key: ["–" if pd.isna(row[key]) else say(row, key) for row in table.to_dict("records")] for key in ranged}
    return table.assign(**texts).drop(columns=[key + end for key in ranged for end in ("_low", "_high")]).round(3)
