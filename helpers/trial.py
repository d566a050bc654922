"""Do heatmaps and audit find a shortcut that was planted? A trial with known truth."""

import numpy as np
import pandas as pd

from helpers import audit, gradcam, intervals, metrics, saliency
from helpers.artefacts import paint
from helpers.lesions import MEL

LIFT = 2.0  # heat on the marks, against an even spread, from which an image is flagged; set before looking
RIM = 0.5  # marks are thin: they are grown by half the radius of a disc of their area


def run(planted, innocent, images, rows, groups, *, artefact, methods, size, cells=gradcam.CELLS):
    """Paint the artefact on test images and ask, image by image, whether the answer of a network rests on it.

    Under the network with the planted shortcut the truth is yes, under the innocent one, on the same images, no. A heatmap for melanoma
    says yes where the marks are hotter than ``LIFT`` times an even spread, the audit where they double the odds of melanoma.

    Parameters
    ----------
    planted, innocent : Classifier
    images : (n, h, w, 3) uint8 array
    rows, groups : (m,)
        Which images, and their lesions.
    artefact : str
    methods : sequence of str
        Keys of ``gradcam.METHODS``.

    Returns
    -------
    DataFrame
        ``method, n, auc, found, false_alarms`` with intervals, and the medians ``lift_with`` and ``lift_without`` of the score: the audit's
        as a factor on the odds, the heatmaps' as one on an even spread.
    """
    painted, marks = marked(images, rows, artefact, size=size)
    every, target = np.arange(len(rows)), np.full(len(rows), MEL)
    plain = {"audit": []}
    for network in (planted, innocent):
        before, after = (audit.answers(network, some, at, None, size=size) for some, at in ((images, rows), (painted, every)))
        plain["audit"].append(np.exp(audit.effects(before, after)["rise"].to_numpy()))
        for method in methods:
            heat = gradcam.maps(network, painted, every, size=size, classes=target, method=method, cells=cells)
            plain.setdefault(method, []).append(lift(heat, marks))
    found = {}
    for name, (yes, no) in plain.items():
        cut = np.exp(audit.FLAG) if name == "audit" else LIFT
        found[name] = detector(yes, no, groups, cut=cut)
    medians = pd.DataFrame([dict(lift_with=np.nanmedian(yes), lift_without=np.nanmedian(no)) for yes, no in plain.values()])
    return pd.concat([intervals.wide(found), medians], axis=1)


def marked(images, rows, artefact, *, size):
    """Frames (m, h, w, 3) uint8 with the artefact painted on, and where it is, with a rim, in the network's view (m, size, size) bool."""
    pairs = [paint(images[row], artefact, seed=int(row)) for row in rows]
    marks = saliency.views(np.stack([mask for _, mask in pairs]), np.arange(len(rows)), size=size)
    return np.stack([image for image, _ in pairs]), saliency.grow(marks, by=RIM)


def lift(heat, marks):
    """Share of the heat on the marks over their share of the picture, (m,) float: 1 for an even spread, nan where there is no heat.

    Examples
    --------
    >>> lift(np.array([[[3.0, 1.0], [0.0, 0.0]]]), np.array([[[True, False], [False, False]]])).tolist()
    [3.0]
    """
    return saliency.energy(heat, marks) / np.maximum(marks.mean((1, 2)), 1e-9)


def detector(with_it, without, groups, *, cut):
    """How well a score tells images whose answer rests on a shortcut from the same images under an innocent network.

    Parameters
    ----------
    with_it, without : (m,) float
        The score of each image under the network with the planted shortcut, and under the one without.
    groups : (m,)
    cut : float
        The score from which an image is flagged, set beforehand.

    Returns
    -------
    dict
        ``auc, found`` (share flagged with the shortcut) and ``false_alarms`` (share flagged without), each with its interval. Undefined
        scores count as no suspicion.
    """
    member, times = intervals.lots(groups, len(with_it))
    score = np.nan_to_num(np.r_[with_it, without], nan=-np.inf)
    positive, member = np.r_[np.ones(len(with_it), bool), np.zeros(len(without), bool)], np.tile(member, 2)
    area = metrics.auc(positive, score, member, times.T)
    flags = pd.DataFrame(dict(found=score[positive] >= cut, false_alarms=score[~positive] >= cut), dtype=float)
    return dict(auc=intervals.record(area, n=len(score))) | intervals.summary(flags, groups)
