"""How much faster the lesion-clustered bootstrap is than a plain loop over scikit-learn, on the same resamples."""

import time

import numpy as np
from sklearn.metrics import f1_score, recall_score, roc_auc_score

from helpers import intervals, metrics
from helpers.lesions import MEL

IMAGES, LESIONS, RESAMPLES, LOOPED = 10_000, 7_470, 2_000, 10
SHARES = np.array([327, 514, 1099, 115, 1113, 6705, 142]) / 10_015  # of HAM10000, in the order of CLASSES


def measure():
    """All headline scores at image and lesion level, in 2,000 resamples of 10,000 predictions.

    The loop runs the first few of the resamples and is scaled up; its scores must equal ours.

    Returns
    -------
    list of dict
        ``name, value, unit, reference, ratio``: seconds of ours and of the loop, and how many times faster ours is.

    Raises
    ------
    AssertionError
        A score differs by more than 1e-12.
    """
    y, p, groups = predictions()
    levels = [(y, p, groups), metrics.lesion_level(y, p, groups)]
    start = time.perf_counter()
    fast = [metrics.bootstrap(*level, n_resamples=RESAMPLES, keys=metrics.HEADLINE) for level in levels]
    ours = time.perf_counter() - start
    start = time.perf_counter()
    slow = [[plain(*rows) for rows in repeated(*level)] for level in levels]
    loop = (time.perf_counter() - start) * RESAMPLES / LOOPED
    for quick, rows in zip(fast, slow, strict=True):
        for name in metrics.HEADLINE:
            np.testing.assert_allclose(quick[name][1 : LOOPED + 1], [row[name] for row in rows], rtol=0, atol=1e-12)
    return [dict(name="bootstrap_vs_loop", value=ours, unit="s", reference=loop, ratio=loop / ours)]


def predictions(seed=0):
    """Labels, probabilities and lesions in the proportions of HAM10000."""
    rng = np.random.default_rng(seed)
    member = np.concatenate([np.arange(LESIONS), rng.integers(LESIONS, size=IMAGES - LESIONS)])
    y = rng.choice(7, LESIONS, p=SHARES)[member]
    odds = np.exp(rng.normal(size=(IMAGES, 7)) + 2 * np.eye(7)[y])
    return y, (odds / odds.sum(1, keepdims=True)).round(5), member


def repeated(y, p, groups):
    """Labels and probabilities of the first resamples, rows repeated as drawn."""
    member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]
    for counts in intervals.resample(groups, n_resamples=LOOPED):
        rows = np.repeat(np.arange(len(y)), counts[member])
        yield y[rows], p[rows]


def plain(y, p):
    """The headline scores by scikit-learn."""
    called, present = p.argmax(1), np.unique(y)
    shared = dict(labels=present, average="macro", zero_division=0)
    areas = {c: roc_auc_score(y == c, p[:, c]) for c in present}
    return {"accuracy": np.mean(y == called), "balanced_accuracy": recall_score(y, called, **shared),
            "macro_f1": f1_score(y, called, **shared), "macro_auc": np.mean(list(areas.values())),
            "mel_auc": areas[MEL], "mel_recall": recall_score(y == MEL, called == MEL)}
