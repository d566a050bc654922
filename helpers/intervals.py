"""Means of what was measured image by image, with intervals that resample lesions, as records, tables and phrases."""

import numpy as np
import pandas as pd

from helpers import metrics

ENDS = {"value": "", "low": "_low", "high": "_high"}


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
        row = {index: name, "n": max(one["n"] for one in found.values())}
        for key, one in found.items():
            row |= {key: one["value"], f"{key}_low": one["low"], f"{key}_high": one["high"]}
        rows.append(row)
    return pd.DataFrame(rows)


def narrow(row, key):
    """One score of a row of :func:`wide`, as :func:`summary` gave it.

    Examples
    --------
    >>> narrow(dict(auc=0.8, auc_low=0.7, auc_high=0.9, n=5), "auc")
    {'value': 0.8, 'low': 0.7, 'high': 0.9, 'n': 5}
    """
    return {part: float(row[key + end]) for part, end in ENDS.items()} | {"n": int(row["n"])}


def say(one):
    """A value with its interval, for a sentence.

    Examples
    --------
    >>> say(dict(value=0.8, low=0.7, high=0.9, n=5))
    '0.800 [0.700, 0.900]'
    """
    return f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
