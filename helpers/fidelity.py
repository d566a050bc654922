"""Distances between two sets of features, each with its interval.

Features are (n, d) float arrays of the baseline's last layer before the classes, centred and scaled by the reference set. They are ours: none
of these values may be compared with published ones, which use another network. Intervals are delete-a-block jackknife
intervals in which the images of one lesion stay together.
"""

import numpy as np
import torch
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers import intervals, metrics

BLOCKS = 20
NEIGHBOURS = 5
COMPONENTS = 32


def standardised(features, reference="reference"):
    """Features of all sets minus the mean of the reference, by its deviation over all features; (n, d) float64 by name.

    One deviation for all: a feature that is silent in the reference must not weigh more than the others.

    Examples
    --------
    >>> standardised({"reference": np.array([[0.0, 5.0], [4.0, 5.0]])})["reference"].round(3).tolist()
    [[-1.414, 0.0], [1.414, 0.0]]
    """
    mean, deviation = features[reference].mean(0), np.sqrt(features[reference].var(0).mean())
    return {name: (np.asarray(x, dtype=float) - mean) / deviation for name, x in features.items()}


def jackknife(statistic, groups, *, blocks=BLOCKS, within=(-np.inf, np.inf), seed=0):
    """A statistic of several sets with its 95 % interval: each set loses one block of groups at a time.

    Parameters
    ----------
    statistic : callable
        Of one array of rows for each set; gives a float.
    groups : sequence of (n,) arrays
        For each set, what stays together (lesions).
    blocks : int
        Blocks per set.
    within : (float, float)
        What the statistic can be; the interval does not leave it.

    Returns
    -------
    dict
        ``value, low, high, n``; n counts the images of the last set.

    References
    ----------
    Efron, Tibshirani (1993), An introduction to the bootstrap, chapter 11.

    Examples
    --------
    >>> x = np.arange(100.0)
    >>> found = jackknife(lambda rows: x[rows].mean(), [x.astype(str)])
    >>> found["value"], bool(9 < found["high"] - found["low"] < 14)
    (49.5, True)
    """
    rng = np.random.default_rng(seed)
    every = [np.arange(len(one)) for one in groups]
    value, variance, fewest = float(statistic(*every)), 0.0, blocks
    for side, own in enumerate(groups):
        names, member = np.unique(own, return_inverse=True)
        count = min(blocks, len(names))
        if count < 2:
            continue
        fewest = min(fewest, count)
        block = (rng.permutation(len(names)) % count)[member]
        left = [statistic(*[rows[block != b] if i == side else rows for i, rows in enumerate(every)]) for b in range(count)]
        variance += (count - 1) / count * np.square(left - np.mean(left)).sum()
    half = stats.t.ppf((1 + intervals.LEVEL) / 2, fewest - 1) * np.sqrt(variance)
    low, high = np.clip([value - half, value + half], *within)
    return dict(value=value, low=float(low), high=float(high), n=len(groups[-1]))


def kid(x, y, x_groups=None, y_groups=None):
    """Unbiased kernel distance of two sets of features with its interval; about 0 for sets of one kind.

    Parameters
    ----------
    x, y : (n, d), (m, d) float arrays
        At least 2 rows each.
    x_groups, y_groups : (n,), (m,) arrays, optional
        What stays together, and is not compared with itself; every row alone where left out.

    Returns
    -------
    dict
        ``value, low, high, n``.

    References
    ----------
    Binkowski et al. (2018), Demystifying MMD GANs, ICLR.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=(2, 200, 4))
    >>> kid(a, b)["low"] < 0 < kid(a, b)["high"], kid(a, b + 1)["low"] > 0
    (True, True)
    """
    xx, yy, xy = (kernel(*pair) for pair in ((x, x), (y, y), (x, y)))
    groups = alone(x, x_groups), alone(y, y_groups)
    x_apart, y_apart = (own[:, None] != own[None] for own in groups)

    def distance(i, j):
        return inner(xx, x_apart, i) + inner(yy, y_apart, j) - 2 * xy[np.ix_(i, j)].mean()

    return jackknife(distance, groups)


def kernel(x, y):
    """(n, m) cubic polynomial kernel."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def inner(matrix, apart, rows):
    """Mean of a square matrix over the pairs of some rows that do not belong together."""
    pairs = np.ix_(rows, rows)
    return matrix[pairs][apart[pairs]].mean()


def alone(x, groups):
    """Groups as whole numbers, or every row a group of its own."""
    return np.arange(len(x)) if groups is None else np.unique(groups, return_inverse=True)[1]


def frechet(x, y):
    """Fréchet distance of two Gaussians fitted to the leading principal components of features; biased up where images are few.

    References
    ----------
    Heusel et al. (2017), GANs trained by a two time-scale update rule, NeurIPS (there on other features, as FID).

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(500, 3))
    >>> round(frechet(x, x), 6), round(frechet(x, x + 1), 3)
    (0.0, 3.0)
    """
    axes = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:COMPONENTS].T
    a, b = x @ axes, y @ axes
    one, two = np.atleast_2d(np.cov(a.T)), np.atleast_2d(np.cov(b.T))
    # The trace of the root of a product of two covariances, from its eigenvalues, which are not negative.
    root = np.sqrt(np.linalg.eigvals(one @ two).real.clip(0)).sum()
    return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(one) + np.trace(two) - 2 * root)


def prdc(real, fake, *, k=NEIGHBOURS):
    """Precision, recall, density and coverage of generated features.

    Parameters
    ----------
    real, fake : (n, d), (m, d) float arrays
        More than k rows each.

    Returns
    -------
    dict
        Fractions in [0, 1]; density may be above 1.

    References
    ----------
    Kynkäänniemi et al. (2019), Improved precision and recall metric for assessing generative models, NeurIPS.
    Naeem et al. (2020), Reliable fidelity and diversity metrics for generative models, ICML.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(50, 2))
    >>> prdc(x, x)["coverage"], prdc(x, x + 100)["precision"]
    (1.0, 0.0)
    """
    return prdc_of(cdist(real, real), cdist(fake, fake), cdist(real, fake), k=k)


def prdc_of(own, other, between, *, k=NEIGHBOURS):
    """As :func:`prdc`, from distances: real-real, fake-fake and real-fake."""
    radius, fake_radius = (np.partition(d, k, axis=1)[:, k] for d in (own, other))  # the distance to itself comes first
    inside = between <= radius[:, None]
    return dict(precision=float(inside.any(0).mean()), recall=float((between <= fake_radius[None]).any(1).mean()),
                density=float(inside.sum(0).mean() / k), coverage=float((between.min(1) <= radius).mean()))


def discriminator(real, fake, real_groups=None, fake_groups=None, *, folds=5):
    """Area under the curve of a logistic regression that tells real from generated, cross-validated; 0.5 where it cannot.

    Returns
    -------
    dict
        ``value, low, high, n``; the interval resamples groups of either set.
    """
    x, y = np.concatenate([real, fake]), np.repeat([False, True], [len(real), len(fake)])
    groups = np.concatenate([[f"{side} {g}" for g in alone(own, names)] for side, own, names in
                             (("real", real, real_groups), ("fake", fake, fake_groups))])
    rule = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    score = cross_val_predict(rule, x, y, groups=groups, cv=GroupKFold(folds, shuffle=True, random_state=0), method="decision_function")
    member, times = intervals.lots(groups, len(y), n_resamples=500)
    return intervals.record(metrics.auc(y, score, member, times.T), n=len(y))


def nearest(queries, bank, *, chunk=512):
    """Distance of every query to its nearest row of the bank, and which: (n,) float and (n,) int, for (n, d) and (m, d) arrays.

    Examples
    --------
    >>> [part.tolist() for part in nearest(np.array([[0.0], [5.0]]), np.array([[1.0], [7.0]]))]
    [[1.0, 2.0], [0, 1]]
    """
    bank = torch.as_tensor(np.asarray(bank), dtype=torch.float32)
    parts = [torch.cdist(torch.as_tensor(np.asarray(queries[i : i + chunk]), dtype=torch.float32), bank).min(1)
             for i in range(0, len(queries), chunk)]
    return torch.cat([p.values for p in parts]).double().numpy(), torch.cat([p.indices for p in parts]).numpy()
