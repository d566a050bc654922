"""Do the 95 % intervals cover? A simulation in which the truth is known.

The published predictions for select, calibrate and test together are taken as the population: its scores are the truth. Every
replicate draws as many lesions as the real test role has, with replacement, and asks whether the interval holds the truth.
"""

import numpy as np
import pandas as pd

from helpers import intervals, metrics, presets, runs
from helpers.lesions import CLASSES

REPLICATES, RESAMPLES = 1000, 1000
KEYS = ("accuracy", "balanced_accuracy", "macro_f1", "mel_recall", "mel_auc", *(f"recall_{code}" for code in CLASSES if code != "mel"))


def measure():
    """Coverage of the intervals, with the number of lesions that a replicate holds of the class (of all classes for the others).

    Returns
    -------
    list of dict
        ``coverage_<score>``: the share of replicates whose interval holds the truth; reference 0.95, ratio = value / 0.95. ``n`` is the
        mean number of lesions behind the score.
    """
    run = runs.load(runs.published_file(presets.configure("course")), presets.configure("course"))
    y, p, member = population(run.predictions)
    size = run.predictions.loc[run.predictions["role"] == "test", "group"].nunique()
    truth = metrics.scores(y, p)
    rows = np.split(np.argsort(member, kind="stable"), np.cumsum(np.bincount(member))[:-1])
    inside = pd.DataFrame([replicate(y, p, rows, size, truth, seed) for seed in range(REPLICATES)])
    lesions = np.bincount(y[[own[0] for own in rows]], minlength=len(CLASSES)) * size / len(rows)
    return [dict(name=f"coverage_{key}", value=share, unit="share", reference=0.95, ratio=share / 0.95, n=round(lesions[of_class(key)].sum()))
            for key, share in inside.mean().items()]


def of_class(key):
    """The classes whose lesions a score counts, as an index."""
    name = key.removeprefix("recall_") if key.startswith("recall_") else "mel" if key.startswith("mel_") else None
    return slice(None) if name is None else slice(CLASSES.index(name), CLASSES.index(name) + 1)


def population(predictions):
    """Class indices (n,), probabilities (n, 7) and group numbers (n,) of all published predictions of a run."""
    y = predictions["dx"].map(CLASSES.index).to_numpy()
    return y, predictions[[f"p_{code}" for code in CLASSES]].to_numpy(), pd.factorize(predictions["group"])[0]


def replicate(y, p, rows, size, truth, seed):
    """Draw lesions, compute the intervals, and say which hold the truth: a dict of bool; nan where the class was not drawn."""
    drawn = np.random.default_rng((2026, seed)).integers(len(rows), size=size)
    images = np.concatenate([rows[group] for group in drawn])
    cluster = np.repeat(np.arange(size), [len(rows[group]) for group in drawn])
    draws = metrics.bootstrap(y[images], p[images], cluster, n_resamples=RESAMPLES, seed=seed, keys=KEYS)
    out = {}
    for key in KEYS:
        low, high = intervals.percentile(draws[key][1:])
        out[key] = float(low <= truth[key] <= high) if np.isfinite(low) else np.nan
    return out
