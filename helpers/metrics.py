"""Scores of seven-class predictions, with intervals that resample lesions instead of images.

In all functions y is (n,) int, class indices in the order of ``lesions.CLASSES``; p is (n, 7) float, probabilities in
[0, 1], or (s, n, 7) for s seeds, whose scores (not probabilities) are averaged; groups is (n,), the lesion of each image.
A score that is undefined is nan. Macro averages run over the classes that occur in y, also inside a resample that has
lost a rare class: as scikit-learn's ``balanced_accuracy_score`` does, and ``f1_score`` with those classes as ``labels``.
"""

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from helpers.intervals import RESAMPLES, contrast, flat, index, lots, record
from helpers.lesions import CLASSES, LESIONS, MEL

HEADLINE = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "mel_recall", "mel_auc")
CHUNK = 250  # resamples at a time: bounds memory, keeps blocks in cache
K = len(CLASSES)


def check(y, p):
    """Arrays of the right kind, p always (s, n, 7); ValueError on shapes that do not fit or numbers that are no probabilities."""
    y, p = np.asarray(y, dtype=int), np.asarray(p, dtype=float)
    p = p[None] if p.ndim == 2 else p
    if p.ndim != 3 or p.shape[1:] != (len(y), K):
        raise ValueError(f"p must be (n, {K}) or (seeds, n, {K}) with n = {len(y)}, got {p.shape}")
    if len(y) == 0 or y.min() < 0 or y.max() >= K:
        raise ValueError(f"y must hold class indices 0-{K - 1} of at least one image")
    if not (np.isfinite(p).all() and p.min() >= 0 and p.max() <= 1):
        raise ValueError("p must hold probabilities in [0, 1]: apply softmax to logits first")
    return y, p


def single(y, p):
    """As :func:`check` for one run: p (n, 7); ValueError for several seeds."""
    y, p = check(y, p)
    if len(p) > 1:
        raise ValueError(f"this is asked of one run, got p of {len(p)} seeds: ask each of them, p[0] first")
    return y, p[0]


def scores(y, p):
    """All scores of one prediction table, or their means over seeds.

    Returns
    -------
    dict
        ``accuracy, balanced_accuracy, macro_f1, macro_auc, mel_recall, mel_auc, mel_precision``, and ``recall_<class>``,
        ``precision_<class>``, ``f1_<class>``, ``auc_<class>`` (one against the rest); fractions in [0, 1].

    Raises
    ------
    ValueError
        Shapes that do not fit, or numbers that are no probabilities (as in all functions here).

    References
    ----------
    Fawcett (2006), An introduction to ROC analysis, Pattern Recognition Letters 27.

    Examples
    --------
    >>> s = scores([4, 4, 5], np.eye(7)[[4, 5, 5]])
    >>> s["mel_recall"], round(s["accuracy"], 3), s["recall_df"]
    (0.5, 0.667, nan)
    """
    y, p = check(y, p)
    table = table_of(y, p, np.arange(len(y)), np.ones((len(y), 1)))
    return {name: float(values[0]) for name, values in table.items()}


def counted(key, y):
    """Images that a score is a share of: those of its class for a recall, else all.

    Examples
    --------
    >>> counted("mel_recall", np.array([4, 5])), counted("recall_nv", np.array([4, 5])), counted("macro_f1", np.array([4, 5]))
    (1, 1, 2)
    """
    code = key.removeprefix("recall_").removesuffix("_recall")
    return int((np.asarray(y) == CLASSES.index(code)).sum()) if code in CLASSES else len(y)


def table_of(y, p, member, draws, keys=None):
    """Scores (b,) averaged over seeds; ``member`` (n,) is the group of each image, ``draws`` (g, b) float its draws."""
    per_seed = [weighted(y, one, member, draws, keys) for one in p]
    unknown = set(keys or ()) - set(per_seed[0])
    if unknown:
        raise ValueError(f"no score {', '.join(sorted(unknown))}: choose among {', '.join(per_seed[0])}")
    return {name: np.mean([table[name] for table in per_seed], axis=0) for name in keys or per_seed[0]}


def weighted(y, p, member, draws, keys=None):
    """As :func:`table_of` for one seed, p (n, 7); areas are computed for the classes that ``keys`` need."""
    matrix = (tally(y * K + p.argmax(1), member, K * K, len(draws)) @ draws).reshape(K, K, -1)  # (true, called, b)
    hit, true, called = np.einsum("kkb->kb", matrix), matrix.sum(1), matrix.sum(0)
    needed = {"macro_auc"} if keys is None else set(keys)
    area = np.full_like(hit, np.nan)
    for c, code in enumerate(CLASSES):
        if needed & ({"macro_auc", f"auc_{code}"} | ({"mel_auc"} if c == MEL else set())):
            area[c] = auc(y == c, p[:, c], member, draws)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, precision = hit / true, hit / called
        f1 = np.where(true > 0, 2 * hit / (true + called), np.nan)
    out = {"accuracy": hit.sum(0) / true.sum(0), "balanced_accuracy": nanmean(recall), "macro_f1": nanmean(f1),
           "macro_auc": nanmean(area), "mel_recall": recall[MEL], "mel_auc": area[MEL], "mel_precision": precision[MEL]}
    for name, values in (("recall", recall), ("precision", precision), ("f1", f1), ("auc", area)):
        out |= {f"{name}_{code}": values[c] for c, code in enumerate(CLASSES)}
    return out


def tally(rows, member, n_rows, n_groups):
    """Sparse counts of images by row and group; times ``draws`` (g, b) it counts them in every resample."""
    return csr_array((np.ones(len(rows)), (rows, member)), shape=(n_rows, n_groups))


def nanmean(values):
    """Mean over the first axis of the defined values; nan where none is."""
    defined = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values, 0).sum(0) / defined.sum(0)


def auc(positive, score, member, draws):
    """Area under the ROC curve in every resample of groups; ties count one half.

    The rarer class's scores cut the line into bins; the other class is counted per bin, then cumulated.

    ``positive`` (n,) bool, ``score`` (n,) float, ``member`` and ``draws`` as above; (b,) float, nan where one class is absent.

    >>> auc(np.array([False, True, True]), np.array([0.1, 0.1, 0.9]), np.arange(3), np.ones((3, 1))).tolist()
    [0.75]
    """
    rare = positive if 2 * positive.sum() <= len(positive) else ~positive
    cuts, own = np.unique(score[rare], return_inverse=True)
    # An image below a cut is counted twice from that cut on, a tied one once: half a win, doubled.
    bins = np.concatenate([np.searchsorted(cuts, score[~rare], side) for side in ("left", "right")])
    twice = tally(bins, np.tile(member[~rare], 2), len(cuts) + 1, len(draws)) @ draws
    mass = tally(own, member[rare], len(cuts), len(draws)) @ draws
    total = mass.sum(0) * twice.sum(0)
    wins = np.einsum("cb,cb->b", mass, np.cumsum(twice[:-1], axis=0))
    with np.errstate(invalid="ignore"):
        return (wins if rare is positive else total - wins) / total


def lesion_level(y, p, groups):
    """One prediction per lesion: the mean probability of its images.

    Returns
    -------
    y, p, groups
        (g,), (g, 7) or (s, g, 7), and (g,) sorted names. A group joined from two diagnoses counts as the more urgent
        tier of ``lesions.LESIONS``; within a tier, as the first in the order of ``lesions.CLASSES``.

    Examples
    --------
    >>> y, p, g = lesion_level([4, 4], [[0, 0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1, 0]], ["a", "a"])
    >>> y.tolist(), float(p[0, 4])
    ([4], 0.5)
    """
    single = np.ndim(p) == 2
    y, p = check(y, p)
    names, member = index(groups, len(y))
    mean = np.stack([np.column_stack([np.bincount(member, column) for column in one.T]) for one in p])
    mean = (mean / np.bincount(member)[:, None]).round(12)  # so that the order of images cannot break ties
    tier = np.array([LESIONS[code].tier for code in CLASSES])
    order = np.lexsort((y, -tier[y], member))
    label = y[order][np.searchsorted(member[order], np.arange(len(names)))]
    return label, mean[0] if single else mean, names


def bootstrap(y, p, groups, *, n_resamples=RESAMPLES, seed=0, keys=None):
    """Scores as they are and under resampled lesions (cluster bootstrap).

    Returns
    -------
    dict of (b + 1,) arrays
        By name of :func:`scores`, only those in ``keys`` if given; the first without resampling. The same seed and groups give the same
        resamples, so that differences of two calls are paired.

    References
    ----------
    Field & Welsh (2007), Bootstrapping clustered data, JRSS B 69.

    Examples
    --------
    >>> bootstrap([4, 5], np.eye(7)[[4, 4]], ["a", "b"], n_resamples=3, keys=["mel_recall"])["mel_recall"][0].item()
    1.0
    """
    y, p = check(y, p)
    member, times = lots(groups, len(y), n_resamples=n_resamples, seed=seed)
    blocks = (np.ascontiguousarray(times[start : start + CHUNK].T) for start in range(0, len(times), CHUNK))
    parts = [table_of(y, p, member, draws, keys) for draws in blocks]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def summary(y, p, groups, *, n_resamples=RESAMPLES, seed=0, keys=HEADLINE):
    """Headline scores with lesion-clustered intervals, at image level and (prefix ``lesion_``) at lesion level.

    Returns
    -------
    dict
        name -> ``{"value", "low", "high", "n"}``; n counts the images or lesions that the score divides by: the class's
        own for a recall, all of them otherwise.

    Examples
    --------
    >>> summary([4, 4, 5], np.eye(7)[[4, 5, 5]], ["a", "a", "b"])["lesion_mel_recall"]["n"]
    1
    """
    out = {}
    for prefix, (labels, probabilities, clusters) in {"": (y, p, groups), "lesion_": lesion_level(y, p, groups)}.items():
        draws = bootstrap(labels, probabilities, clusters, n_resamples=n_resamples, seed=seed, keys=keys)
        out |= {prefix + key: record(draws[key], n=counted(key, labels)) for key in keys}
    return out


def per_class(y, p, groups, *, n_resamples=RESAMPLES, seed=0):
    """Recall, precision, F1 and AUC of every class: one row per class, ``dx, images, lesions, recall, recall_low, ...``."""
    draws, rows = bootstrap(y, p, groups, n_resamples=n_resamples, seed=seed), []
    for c, code in enumerate(CLASSES):
        own = np.asarray(y) == c
        found = {name: record(draws[f"{name}_{code}"], n=int(own.sum())) for name in ("recall", "precision", "f1", "auc")}
        rows.append(dict(dx=code, images=int(own.sum()), lesions=len(set(np.asarray(groups)[own]))) | flat(found))
    return pd.DataFrame(rows)


def confusion(y, p):
    """(7, 7) int counts of one prediction table, p (n, 7): rows are true classes, columns the most probable ones."""
    y, p = single(y, p)
    return np.bincount(y * K + p.argmax(1), minlength=K * K).reshape(K, K)


def compare(y, p, p_base, groups, *, n_resamples=RESAMPLES, seed=0, keys=HEADLINE):
    """Paired differences of two arms (p minus p_base) on the same images, lesions resampled together.

    Returns
    -------
    dict
        name -> :func:`helpers.intervals.contrast`.
    """
    one, two = (bootstrap(y, arm, groups, n_resamples=n_resamples, seed=seed, keys=keys) for arm in (p, p_base))
    return {key: contrast(one[key] - two[key], n=len(y)) for key in keys}
