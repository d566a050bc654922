"""What a network leans on: artefacts painted on, lesions taken away, decisions that flip, and who is served worse.

In all functions images is (n, h, w, 3) uint8 and masks (n, h, w) bool, full frames; rows is (m,) int, which of them; before and after are
(m, 7) float, probabilities of the same images as they are and as they were changed.
"""

import cv2
import numpy as np
import pandas as pd
from scipy.special import logit, softmax

from helpers import calibration, intervals, metrics, models, saliency
from helpers.artefacts import ARTEFACTS, paint
from helpers.calibration import TINY
from helpers.lesions import CLASSES, MEL
from helpers.progress import tqdm

CONTROL = "mirror"  # a change that should not matter
HIDDEN = ("lesion_occluded", "background_only", "lesion_only")
CHANGES = (CONTROL, *ARTEFACTS, *HIDDEN)
FLAG = float(np.log(2))  # an artefact that doubles the odds of melanoma counts as a shortcut
BATCH = 64


def change(image, mask, name, *, seed):
    """One image after one change.

    Parameters
    ----------
    image : (h, w, 3) uint8 array
    mask : (h, w) bool array
        The lesion; only the three of ``HIDDEN`` look at it.
    name : str
        One of ``CHANGES``: an artefact, ``mirror``, or what is painted over with the median colour of the skin: the lesion and a rim of a
        quarter of its radius (``lesion_occluded``), a box around that, so that not even the shape is left (``background_only``), or all
        else (``lesion_only``).
    seed : int

    Returns
    -------
    (h, w, 3) uint8 array

    References
    ----------
    Bissoto et al. (2019), (De)Constructing bias on skin lesion datasets, CVPR workshops.

    Examples
    --------
    >>> image, mask = np.full((8, 8, 3), 200, np.uint8), np.zeros((8, 8), bool)
    >>> image[3:5, 3:5], mask[3:5, 3:5] = 50, True
    >>> int(change(image, mask, "lesion_occluded", seed=0).min()), int(change(image, mask, "lesion_only", seed=0).min())
    (200, 50)
    """
    if name == CONTROL:
        return image[:, ::-1]
    if name not in HIDDEN:
        return paint(image, name, seed=seed)[0]
    region = saliency.grow(mask[None])[0]
    skin = np.median(image[~region], axis=0) if not region.all() else np.full(3, 128)
    if name == "background_only" and mask.any():
        x, y, w, h = cv2.boundingRect(region.astype(np.uint8))
        region[y : y + h, x : x + w] = True
    if name == "lesion_only":
        region = ~region
    out = image.copy()
    out[region] = skin
    return out


def answers(classifier, images, rows, masks, name=None, *, size):
    """Probabilities (m, 7) after a change, or as the images are."""
    out = []
    for start in tqdm(range(0, len(rows), BATCH), desc=name or "as is", unit="batch", leave=False):
        part = rows[start : start + BATCH]
        batch = np.stack([images[row] if name is None else change(images[row], np.asarray(masks[row]), name, seed=int(row)) for row in part])
        out.append(softmax(models.predict(classifier, batch, np.arange(len(part)), size=size).astype(float), axis=1))
    return np.concatenate(out)


def effects(before, after):
    """What a change does to each image.

    Returns
    -------
    DataFrame
        ``flipped`` (0 or 1: is another class called?), ``shift`` of p(melanoma), its ``size``, and ``rise``: the shift of the log odds of
        melanoma, in which a shortcut shows also where the network was sure.

    Examples
    --------
    >>> effects(np.full((1, 7), 1 / 7), np.full((1, 7), 1 / 7))["rise"].tolist()
    [0.0]
    """
    odds = [logit(np.clip(p[:, MEL], TINY, 1 - TINY)) for p in (before, after)]
    shift = after[:, MEL] - before[:, MEL]
    flipped = (before.argmax(1) != after.argmax(1)).astype(float)
    return pd.DataFrame(dict(flipped=flipped, shift=shift, size=np.abs(shift), rise=odds[1] - odds[0]))


def rank(found, groups):
    """What the network leans on, most first.

    Parameters
    ----------
    found : dict of str to DataFrame
        Change to :func:`effects`.
    groups : (m,)

    Returns
    -------
    DataFrame
        ``change, n, flipped, shift, size, rise`` with intervals ``_low`` and ``_high``; ``flagged`` is "yes" for an artefact whose mean
        ``rise`` is above ``FLAG``, interval included.
    """
    table = intervals.wide({name: intervals.summary(frame, groups) for name, frame in found.items()}, index="change")
    suspicious = table["change"].isin(ARTEFACTS) & (table["rise_low"] > FLAG)
    table["flagged"] = np.where(suspicious, "yes", "no")
    return table.sort_values("flipped", ascending=False, ignore_index=True)


def by_class(found, y, *, column="flipped"):
    """One column of :func:`effects` per change (rows) and diagnosis (columns), means."""
    codes = np.array(CLASSES)[np.asarray(y)]
    table = pd.DataFrame({name: frame[column].groupby(codes).mean() for name, frame in found.items()}).T
    return table.reindex(columns=list(CLASSES)).rename_axis("change").reset_index()


def risk_area(hit, sureness, groups, *, n_resamples=intervals.RESAMPLES, seed=0):
    """Area under the risk-coverage curve in resamples of lesions, (b + 1,) float; the first is without resampling. Lower is better.

    References
    ----------
    Geifman & El-Yaniv (2017), Selective classification for deep neural networks, NeurIPS.

    Examples
    --------
    >>> round(float(risk_area([True, False], [0.9, 0.1], ["a", "b"], n_resamples=1)[0]), 3)
    0.25
    """
    member, times = intervals.lots(groups, len(hit), n_resamples=n_resamples, seed=seed)
    order = np.argsort(-np.nan_to_num(np.asarray(sureness, dtype=float), nan=-np.inf), kind="stable")
    weight = times[:, member[order]]
    kept = weight.cumsum(1)
    risk = (weight * ~np.asarray(hit, dtype=bool)[order]).cumsum(1) / np.maximum(kept, 1)
    return (weight * risk).sum(1) / kept[:, -1]


def referral(hit, rules, groups, *, base="confidence", coverage=0.8):
    """Referral rules side by side.

    Parameters
    ----------
    hit : (m,) bool
        Was the call right?
    rules : dict of str to (m,) float
        Name to how sure the rule is; the least sure are referred first, undefined ones before all others.
    base : str
        The rule that the others are compared with.
    coverage : float
        Share of images kept at which the risk is told.

    Returns
    -------
    DataFrame
        ``rule, n, risk_area, difference`` (to the base, paired over lesions; above zero: worse), with intervals, and ``risk_kept``.
    """
    draws, rows = {name: risk_area(hit, sureness, groups) for name, sureness in rules.items()}, []
    for name, area in draws.items():
        gap = area - draws[base] if name != base else np.full(len(area), np.nan)
        curve = calibration.risk_coverage(hit, np.nan_to_num(rules[name], nan=-1.0))
        found = dict(risk_area=intervals.record(area, n=len(hit)), difference=intervals.record(gap, n=len(hit)))
        rows.append(dict(rule=name, n=len(hit)) | intervals.flat(found)
                    | dict(risk_kept=float(np.interp(coverage, curve["coverage"], curve["risk"]))))
    return pd.DataFrame(rows)


def subgroups(frame, y, p, heat, *, keys=("balanced_accuracy", "mel_auc")):
    """Performance and heat on the lesion by subgroup.

    Parameters
    ----------
    frame : DataFrame
        ``group``, and one column per attribute; a missing value is a group of its own.
    y, p : (m,) int, (m, 7) or (s, m, 7) float
    heat : (m,) float
        Share of the heat on the lesion.

    Returns
    -------
    DataFrame
        ``attribute, value, images, lesions, melanomas``, the scores and ``energy_in_mask`` with intervals, and ``note``: "few lesions"
        below ``intervals.FEW``, whose values say next to nothing.
    """
    rows, p = [], np.asarray(p)
    for attribute in [column for column in frame.columns if column != "group"]:
        values = frame[attribute].astype(object).where(frame[attribute].notna(), "unknown").astype(str)
        for value in sorted(values.unique()):
            own = np.flatnonzero(values == value)
            groups = frame["group"].to_numpy()[own]
            lesions = len(set(groups))
            row = dict(attribute=attribute, value=value, images=len(own), lesions=lesions, melanomas=int((y[own] == MEL).sum()))
            found = {key: intervals.record(draws, n=len(own)) for key, draws in metrics.bootstrap(y[own], p[..., own, :], groups, keys=keys).items()}
            found["energy_in_mask"] = intervals.summary(pd.DataFrame(dict(a=np.asarray(heat)[own])), groups)["a"]
            row |= intervals.flat({key: found[key] for key in (*keys, "energy_in_mask")})
            rows.append(row | dict(note="few lesions" if lesions < intervals.FEW else ""))
    return pd.DataFrame(rows)


def attributes(frame, masks):
    """Columns to look for subgroups by: ``group, age, sex, site, size`` (size in thirds of the share of the picture that the lesion fills)."""
    age = pd.cut(frame["age"], [-1, 39, 59, 200], labels=["below 40", "40 to 59", "60 and above"])
    share = pd.Series(masks.mean((1, 2)))
    size = pd.qcut(share.rank(method="first"), 3, labels=["small", "middle", "large"])
    site = frame["localization"].fillna("unknown")
    site = site.where(site.map(site.value_counts()) >= 0.02 * len(frame), "other sites")
    columns = dict(group=frame["group"], age=age, sex=frame["sex"], site=site, size=size)
    return pd.DataFrame({name: np.asarray(column) for name, column in columns.items()})
