"""Probabilities that mean what they say, and what to do with them: scaling, reliability, prediction sets, costs, referral.

In all functions y is (n,) int, class indices in the order of ``lesions.CLASSES``; p is (n, 7) float, probabilities in
[0, 1], of one run. Fit on the calibrate role, apply to test. All guarantees end where the population shifts.
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from helpers.lesions import CLASSES
from helpers.metrics import check, single

K = len(CLASSES)
TINY = 5e-6  # half the last decimal of a predictions file: log(0) is never taken


def apply_scaling(p, scaling):
    """Probabilities (..., 7) after a scaling of :func:`fit_temperature` or :func:`fit_vector`."""
    return softmax(np.log(np.maximum(p, TINY)) * scaling["slope"] + scaling["bias"], axis=-1)


def fit_temperature(y, p):
    """One slope for all log probabilities: 1 / temperature, which changes confidence but no decision.

    Returns
    -------
    dict
        ``slope`` (7,), all equal, ``bias`` (7,) zeros, ``temperature`` float above 0 (above 1: the run was too sure).

    References
    ----------
    Guo et al. (2017), On calibration of modern neural networks, ICML.

    Examples
    --------
    >>> sure = np.full((4, 7), 0.01) + 0.93 * np.eye(7)[[4, 4, 5, 5]]
    >>> fit_temperature([4, 5, 5, 5], sure)["temperature"] > 1
    True
    """
    unpack = lambda x: (np.repeat(np.exp(x[0]), K), np.zeros(K))  # noqa: E731
    scaling = fit(y, p, unpack, lambda x, a, b: [a.sum() * np.exp(x[0])], np.zeros(1), 0)
    return scaling | {"temperature": float(1 / scaling["slope"][0])}


def fit_vector(y, p):
    """A slope and a bias per class, on log probabilities: dict of ``slope`` (7,) and ``bias`` (7,), the bias's mean 0.

    As Guo et al. (2017), with a standard normal prior around doing nothing, which holds back classes of few images.

    Examples
    --------
    >>> p = np.full((7, 7), 0.1) + 0.3 * np.eye(7)
    >>> fit_vector(np.arange(7), p)["bias"].round(3).tolist() == [0.0] * 7
    True
    """
    start = np.concatenate([np.ones(K), np.zeros(K)])
    scaling = fit(y, p, lambda x: (x[:K], x[K:]), lambda x, a, b: np.concatenate([a, b]), start, 0.5 / len(y))
    return scaling | {"bias": scaling["bias"] - scaling["bias"].mean()}


def fit(y, p, unpack, chain, start, ridge):
    """Slope and bias that minimise the log loss, plus ``ridge`` on the way from ``start``."""
    y, p = single(y, p)
    logits, truth = np.log(np.maximum(p, TINY)), np.eye(K)[y]

    def loss(x):
        slope, bias = unpack(x)
        log = log_softmax(logits * slope + bias, axis=1)
        error = (np.exp(log) - truth) / len(y)
        gradient = np.asarray(chain(x, (error * logits).sum(0), error.sum(0)))
        return -log[np.arange(len(y)), y].mean() + ridge * ((x - start) ** 2).sum(), gradient + 2 * ridge * (x - start)

    bounds = [(-4, 4)] if len(start) == 1 else None  # a log slope: perfect predictions would run to infinity
    slope, bias = unpack(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x)
    return dict(slope=slope, bias=bias)


def prior_shift(p, *, trained, target):
    """Probabilities (..., 7) under other class shares than those of training.

    Parameters
    ----------
    trained : (7,) float
        Shares the training loss saw: of the images, times the class weights if any, or equal for a balanced sampler.
    target : (7,) float
        Shares where the probabilities will be used. Neither needs to sum to 1. Focal loss distorts in another way.

    References
    ----------
    Saerens, Latinne, Decaestecker (2002), Adjusting the outputs of a classifier, Neural Computation 14.

    Examples
    --------
    >>> prior_shift(np.full(7, 1 / 7), trained=np.ones(7), target=[1, 0, 0, 0, 0, 3, 0]).tolist()
    [0.25, 0.0, 0.0, 0.0, 0.0, 0.75, 0.0]
    """
    p, trained, target = (np.asarray(a, dtype=float) for a in (p, trained, target))
    if trained.shape != (K,) or target.shape != (K,) or trained.min() <= 0 or target.min() < 0 or target.sum() == 0:
        raise ValueError(f"trained must be {K} shares above 0, target {K} of at least 0, in the order {' '.join(CLASSES)}")
    odds = p * target / trained
    total = odds.sum(-1, keepdims=True)
    return np.where(total > 0, odds, target) / np.where(total > 0, total, target.sum())


def top_label(y, p):
    """Whether the most probable class is right (n,) bool, and its probability (n,): what :func:`reliability` takes."""
    y, p = single(y, p)
    return p.argmax(1) == y, p.max(1)


def reliability(hit, confidence, *, bins=15):
    """Said and observed frequency in bins of about equal count, where equal confidences share a bin.

    Parameters
    ----------
    hit, confidence : (n,) bool, (n,) float
        Did it happen, and its probability in [0, 1]: the pair of :func:`top_label`, or melanoma and its probability.

    Returns
    -------
    DataFrame with ``said`` (mean confidence), ``observed`` (frequency) and ``n``, at most ``bins`` rows

    References
    ----------
    Nguyen & O'Connor (2015), Posterior calibration and exploratory analysis for NLP models, EMNLP (adaptive bins).

    Examples
    --------
    >>> reliability([0, 1, 1, 1], [.5, .5, .9, .9], bins=2)["observed"].tolist()
    [0.5, 1.0]
    """
    hit, confidence = np.asarray(hit, dtype=float), np.asarray(confidence, dtype=float)
    edges = np.quantile(confidence, np.arange(1, bins) / bins, method="inverted_cdf")
    frame = pd.DataFrame(dict(bin=np.searchsorted(edges, confidence), said=confidence, observed=hit))
    return frame.groupby("bin").mean().assign(n=frame["bin"].value_counts()).reset_index(drop=True)


def ece(hit, confidence, *, bins=15):
    """Expected calibration error on adaptive bins, in [0, 1]: mean gap between said and observed, weighted by count.

    Above 0 even for perfect calibration, more so with few images a bin: compare only at equal n and bins.

    Examples
    --------
    >>> round(ece([0, 1, 1, 1], [.5, .5, .9, .9], bins=2), 3)
    0.05
    """
    table = reliability(hit, confidence, bins=bins)
    return float(np.average((table["said"] - table["observed"]).abs(), weights=table["n"]))


def brier(y, p):
    """Mean squared distance of the probabilities from the truth, summed over classes: 0 (perfect) to 2 (Brier 1950).

    Examples
    --------
    >>> brier([4], np.eye(7)[[5]])
    2.0
    """
    y, p = check(y, p)
    return float(((p - np.eye(K)[y]) ** 2).sum(-1).mean())


def conformal_cut(y, p, *, miss, by_class=False):
    """Smallest probability that keeps a class in the prediction set.

    Parameters
    ----------
    miss : float
        Accepted share of sets without the true class, in (0, 1): on average, or for every class where ``by_class``.

    Returns
    -------
    (7,) float array; the set of an image holds the classes where ``p >= cut``
        -inf, always kept, for a class with fewer than 1 / miss - 1 images. The promise takes images as exchangeable, which
        several images of one lesion are not.

    References
    ----------
    Sadinle, Lei, Wasserman (2019), Least ambiguous set-valued classifiers with bounded error levels, JASA 114.

    Examples
    --------
    >>> conformal_cut([4, 4, 4], np.eye(7)[[4, 4, 4]], miss=0.25).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    y, p = single(y, p)
    if not 0 < miss < 1:
        raise ValueError(f"miss must be a fraction between 0 and 1, got {miss:g}")
    own = p[np.arange(len(y)), y]
    members = [y == c if by_class else np.full(len(y), True) for c in range(K)]
    ranks = [int(np.floor(miss * (m.sum() + 1) + 1e-9)) for m in members]
    return np.array([np.sort(own[m])[rank - 1] if rank else -np.inf for m, rank in zip(members, ranks, strict=True)])


def set_table(y, p, cut):
    """Coverage and size of the sets ``p >= cut``: one row per class and one for all, ``dx, n, coverage, size, empty``.

    Examples
    --------
    >>> set_table([4, 5], np.eye(7)[[4, 4]], np.full(7, 0.5)).iloc[-1]["coverage"].item()
    0.5
    """
    y, p = single(y, p)
    kept = p >= cut
    frame = pd.DataFrame(dict(dx=np.array(CLASSES)[y], coverage=kept[np.arange(len(y)), y], size=kept.sum(1)))
    frame = pd.concat([frame, frame.assign(dx="all")]).assign(empty=lambda f: f["size"] == 0)
    rows = frame.groupby("dx").mean().reindex([*CLASSES, "all"])
    rows.insert(0, "n", frame["dx"].value_counts().reindex(rows.index, fill_value=0))
    return rows.reset_index()


def risk_coverage(hit, confidence):
    """Error among the cases that are kept when the least sure ones are referred to a human.

    Frame of ``confidence`` (keep at least this), ``coverage`` (share kept), ``risk`` (share of errors among them).
    From Geifman & El-Yaniv (2017), Selective classification for deep neural networks, NeurIPS.

    Examples
    --------
    >>> risk_coverage([True, False], [.9, .6])["risk"].tolist()
    [0.0, 0.5]
    """
    frame = pd.DataFrame(dict(confidence=np.asarray(confidence, dtype=float), error=~np.asarray(hit, dtype=bool)))
    table = frame.groupby("confidence")["error"].agg(["sum", "size"]).sort_index(ascending=False).cumsum()
    return pd.DataFrame(dict(coverage=table["size"] / len(frame), risk=table["sum"] / table["size"])).reset_index()


def decide(p, cost):
    """Class with the least expected cost: (n,) int for p (n, 7), (s, n) for (s, n, 7).

    ``cost`` (7, 7) float has true classes as rows and called ones as columns; the probabilities must be calibrated.

    References
    ----------
    Elkan (2001), The foundations of cost-sensitive learning, IJCAI.

    Examples
    --------
    >>> decide([0, 0, 0, 0, 0.1, 0.9, 0], 1 - np.eye(7) + 20 * np.outer(np.eye(7)[4], np.eye(7)[5])).item()
    4
    """
    p, cost = np.asarray(p, dtype=float), np.asarray(cost, dtype=float)
    if cost.shape != (K, K) or p.shape[-1:] != (K,):
        raise ValueError(f"cost must be ({K}, {K}) and p (..., {K}), got {cost.shape} and {p.shape}")
    return (p @ cost).argmin(-1)
