"""Scores of heatmaps against masks and against the network itself, image by image.

In all functions maps is (n, s, s) float, masks (n, s, s) bool, the network's own view of both. Places of equal heat share what they are worth,
so that a uniform map scores chance; an all-zero map is scored nan, and so is an image whose mask is empty.
"""

import functools

import cv2
import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import spsolve
from scipy.stats import rankdata

from helpers import models
from helpers.augment import view
from helpers.progress import tqdm

NEIGHBOURS = {(1, 1): 1 / 12, (0, 1): 1 / 6, (1, 0): 1 / 6, (1, -1): 1 / 12}  # half of the eight; the other half mirrors them
NOISE = 0.01
KEPT = (20, 40, 60, 80)  # per cent of the pixels that stay
CHUNK = 256  # images at a time: bounds memory


def views(images, rows, *, size):
    """Centre views (m, size, size, 3) uint8 of frames, or (m, size, size) bool of masks (n, h, w) bool."""
    is_mask, out = images.ndim == 3, []
    for start in range(0, len(rows), CHUNK):
        frames = np.array(images[rows[start : start + CHUNK]])
        frames = np.repeat(frames[..., None], 3, -1).astype(np.uint8) * 255 if is_mask else frames
        x = view(torch.from_numpy(frames), size=size).permute(0, 2, 3, 1)
        out.append((x[..., 0] > 0.5).numpy() if is_mask else (255 * x).round().byte().numpy())
    return np.concatenate(out)


def defined(maps, masks):
    """Whether an image can be scored, (n,) bool: there is heat, and there is a mask."""
    return (maps.max((1, 2)) > 0) & masks.any((1, 2))


def pointing(maps, masks):
    """Is the hottest place on the mask? (n,) float in [0, 1], a fraction where several places are the hottest.

    References
    ----------
    Zhang et al. (2018), Top-down neural attention by excitation backprop, IJCV 126.

    Examples
    --------
    >>> pointing(np.array([[[1., 1.], [0., 0.]]]), np.array([[[True, False], [False, False]]])).tolist()
    [0.5]
    """
    top = maps == maps.max((1, 2), keepdims=True)
    return np.where(defined(maps, masks), (top & masks).sum((1, 2)) / top.sum((1, 2)), np.nan)


def energy(maps, masks):
    """Share of the heat on the mask, (n,) float in [0, 1].

    References
    ----------
    Wang et al. (2020), Score-CAM, CVPR workshops (the energy-based pointing game).

    Examples
    --------
    >>> energy(np.array([[[3., 1.], [0., 0.]]]), np.array([[[True, False], [False, False]]])).tolist()
    [0.75]
    """
    total = maps.sum((1, 2), dtype=float)
    return np.where(defined(maps, masks), (maps * masks).sum((1, 2), dtype=float) / np.where(total > 0, total, 1), np.nan)


def iou(maps, masks):
    """Overlap of the mask with the hottest places of equal area, intersection over union, (n,) float in [0, 1].

    Where equal heat spans the cut, each such place counts with the fraction that makes the areas equal.

    Examples
    --------
    >>> iou(np.array([[[3., 1.], [2., 0.]]]), np.array([[[True, False], [True, False]]])).tolist()
    [1.0]
    """
    out = np.full(len(maps), np.nan)
    for i in np.flatnonzero(defined(maps, masks)):
        area = int(masks[i].sum())
        cut = np.partition(maps[i].ravel(), -area)[-area]
        above, tied = maps[i] > cut, maps[i] == cut
        chosen = above + tied * (area - above.sum()) / tied.sum()
        both = float(chosen[masks[i]].sum())
        out[i] = both / (2 * area - both)
    return out


def grow(masks, *, by=0.25):
    """Masks grown by a share of the radius of a disc of their area: the border and the skin around it carry signs too.

    Examples
    --------
    >>> masks = np.zeros((1, 9, 9), bool)
    >>> masks[0, 3:6, 3:6] = True
    >>> int(grow(masks, by=0.6).sum())
    21
    """
    out = masks.copy()
    for one, mask in zip(out, masks, strict=True):
        reach = max(by * np.sqrt(mask.sum() / np.pi), 1)
        one |= cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) <= reach
    return out


@functools.cache
def couplings(h, w):
    """How much each pixel (h * w) takes from its eight neighbours, as a sparse symmetric matrix."""
    number, rows, columns, weights = np.arange(h * w).reshape(h, w), [], [], []
    for (dy, dx), weight in NEIGHBOURS.items():
        here = number[: h - dy, max(-dx, 0) : w - max(dx, 0)].ravel()
        there = number[dy:, max(dx, 0) : w - max(-dx, 0)].ravel()
        rows += [here, there]
        columns += [there, here]
        weights += [np.full(2 * len(here), weight)]
    return csr_array((np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=(h * w, h * w))


def impute(image, kept):
    """Fill what is not kept (h, w) with the weighted mean of its neighbours, known or filled alike; image (c, h, w) float.

    References
    ----------
    Rong et al. (2022), A consistent and efficient evaluation strategy for attribution methods (ROAD), ICML.
    """
    weights, known = couplings(*kept.shape), kept.ravel()
    flat, hidden = image.reshape(len(image), -1).astype(float), np.flatnonzero(~known)
    rows = weights[hidden]
    system = diags_array(rows.sum(1)) - rows[:, hidden]
    out = flat.copy()
    out[:, hidden] = spsolve(system.tocsc(), rows[:, np.flatnonzero(known)] @ flat[:, known].T).T
    return out.reshape(image.shape).astype(np.float32)


def road(classifier, images, rows, maps, *, size, classes, kept=KEPT, seed=0):
    """Remove and debias: what the probability of a class loses with the hottest pixels, against the coldest.

    Pixels are filled from their neighbours with a little noise, so that the shape of the hole tells nothing.

    Parameters
    ----------
    rows, maps, classes : (m,) int, (m, size, size) float, (m,) int
    kept : sequence of float
        Per cent of the pixels that stay; the score is the mean over them.

    Returns
    -------
    (m,) float in [-1, 1]
        Half the probability after removing the coldest less that after removing the hottest pixels; 0 for a map by chance.

    References
    ----------
    Rong et al. (2022), as above.
    """
    out, network = np.full(len(rows), np.nan), classifier.network.eval()
    for i, row in enumerate(tqdm(rows, desc="road", unit="image", leave=False)):
        if maps[i].max() <= 0:
            continue
        x = models.inputs(classifier, images[row : row + 1], size=size)[0].cpu().numpy()
        generator = np.random.default_rng((seed, int(row)))
        order = np.lexsort((generator.random(size * size), maps[i].ravel()))  # coldest first; chance decides among equals
        filled = []
        for share in kept:
            stay = round(size * size * share / 100)
            for keep in (order[-stay:], order[:stay]):
                mask = np.zeros(size * size, bool)
                mask[keep] = True
                noise = generator.normal(0, NOISE, x.shape) * ~mask.reshape(size, size)
                filled.append(impute(x, mask.reshape(size, size)) + noise.astype(np.float32))
        with torch.inference_mode():
            p = network(torch.from_numpy(np.stack(filled)).to(classifier.device)).softmax(1)[:, int(classes[i])].cpu().numpy()
        out[i] = (p[::2] - p[1::2]).mean() / 2
    return out


def agreement(one, two, *, blocks=16):
    """Rank correlation of two sets of maps, image by image, on blocks a side of mean heat: (n,) float in [-1, 1].

    Examples
    --------
    >>> maps = np.arange(16.0).reshape(1, 4, 4)
    >>> agreement(maps, -maps, blocks=4).tolist()
    [-1.0]
    """
    ranks = []
    for maps in (one, two):
        small = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(np.ascontiguousarray(maps))[:, None].float(), min(blocks, maps.shape[-1]))
        rank = rankdata(small.flatten(1).numpy().round(6), axis=1)
        ranks.append(rank - rank.mean(1, keepdims=True))
    spread = np.sqrt((ranks[0] ** 2).sum(1) * (ranks[1] ** 2).sum(1))
    return np.where(spread > 0, (ranks[0] * ranks[1]).sum(1) / np.where(spread > 0, spread, 1), np.nan).round(12)


def score(maps, masks):
    """All scores that need a mask: a frame of ``pointing, energy_in_mask, energy_grown, iou``, one row an image."""
    return pd.DataFrame(dict(pointing=pointing(maps, masks), energy_in_mask=energy(maps, masks), energy_grown=energy(maps, grow(masks)),
                             iou=iou(maps, masks)))
