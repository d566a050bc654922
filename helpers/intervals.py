"""Means of what was measured image by image, with intervals that resample lesions; intervals as records, table rows and phrases."""

import numpy as np
import pandas as pd

from helpers import metrics

ENDS = {"value": "", "low": "_low", "high": "_high"}
NOTHING = dict.fromkeys(("value", "low", "high", "p"), np.nan)  # a record of what was not measured


def summary(values, groups, *, n_resamples=metrics.RESAMPLES, seed=0, level=0.95):
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
    names, member = metrics.index(groups, len(table))
    known = np.isfinite(table)
    sums, counts = np.zeros((2, len(names), table.shape[1]))
    np.add.at(sums, member, np.where(known, table, 0))
    np.add.at(counts, member, known)
    times = metrics.resample(groups, n_resamples=n_resamples, seed=seed)
    with np.errstate(invalid="ignore"):
        draws, value = (times @ sums) / (times @ counts), sums.sum(0) / counts.sum(0)
    out = {}
    for j, name in enumerate(values.columns):
        low, high = metrics.interval(draws[:, j], level=level)
        out[name] = dict(value=float(value[j]), low=low, high=high, n=int(known[:, j].sum()))
    return out


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
