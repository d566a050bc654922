"""Near-duplicate search: the same lesion under two lesion ids, at another zoom, turn or light.

Embeddings retrieve candidates, local features verify them by geometry, and a person has the last word:
``data/splits/<source>_duplicates.csv`` lists the pairs that were looked at, with evidence and verdict.
"""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pandas as pd

from helpers.progress import tqdm

UPSCALE = 2
MAX_FEATURES = 400
RATIO = 0.8
TOLERANCE = 4.0  # pixels of the upscaled image
EVIDENCE = ["matches", "inliers", "scale", "angle_deg"]


def candidates(embeddings, lesion_ids, *, k=20, chunk=1000):
    """Pairs of images of different lesions whose embeddings are close in some view.

    Parameters
    ----------
    embeddings : (v, n, d) float array
        Features of n images in v views (turns, zooms); view 0 is the plain one.
    lesion_ids : (n,) array
    k : int
        Neighbours kept per image and view.

    Returns
    -------
    DataFrame
        ``a, b`` row numbers with a < b, and ``similarity``, the largest cosine over views, best first.

    Examples
    --------
    >>> e = np.array([[[1.0, 0], [1, 0.1], [0, 1]]])
    >>> candidates(e, ["x", "y", "z"], k=1)[["a", "b"]].iloc[0].tolist()
    [0, 1]
    """
    views = embeddings - embeddings.mean((0, 1))
    views = (views / np.linalg.norm(views, axis=2, keepdims=True)).astype(np.float32)
    lesion = pd.factorize(np.asarray(lesion_ids))[0]
    k = min(k, len(lesion) - 1)
    found = []
    for view in views:
        for start in range(0, len(lesion), chunk):
            rows = np.arange(start, min(start + chunk, len(lesion)))
            cosine = view[rows] @ views[0].T
            cosine[lesion[rows][:, None] == lesion[None]] = -1
            near = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
            cosine = np.take_along_axis(cosine, near, 1)
            found.append(pd.DataFrame({"a": rows.repeat(k), "b": near.ravel(), "similarity": cosine.ravel()}))
    pairs = pd.concat(found)
    pairs = pairs[pairs["similarity"] > -1]
    pairs[["a", "b"]] = np.sort(pairs[["a", "b"]].to_numpy(), axis=1)
    best = pairs.groupby(["a", "b"], as_index=False)["similarity"].max()
    return best.sort_values("similarity", ascending=False, ignore_index=True)


def features(image):
    """Local features of one (h, w, 3) uint8 image: positions (m, 2) float32 and descriptors (m, 128) uint8.

    References
    ----------
    Lowe (2004), Distinctive image features from scale-invariant keypoints, IJCV 60.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    grey = cv2.createCLAHE(3.0, (8, 8)).apply(cv2.resize(grey, None, fx=UPSCALE, fy=UPSCALE, interpolation=cv2.INTER_CUBIC))
    points, descriptors = cv2.SIFT_create(MAX_FEATURES, contrastThreshold=0.02).detectAndCompute(grey, None)
    if not points:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8)
    return np.float32([p.pt for p in points]), descriptors.astype(np.uint8)


def verify(first, second):
    """Geometric evidence that two images show the same lesion.

    Parameters
    ----------
    first, second : tuple
        What :func:`features` gives.

    Returns
    -------
    dict
        ``matches``: mutual nearest features that pass the ratio test; ``inliers``: those that one similarity
        transform explains; its ``scale`` and ``angle_deg`` (nan without one).
    """
    nothing = dict(matches=0, inliers=0, scale=np.nan, angle_deg=np.nan)
    if min(len(first[0]), len(second[0])) < 4:
        return nothing
    i, j = matches(first[1], second[1])
    if len(i) < 4:
        return nothing | dict(matches=len(i))
    cv2.setRNGSeed(0)
    fit = dict(method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE, maxIters=1000)
    transform, inside = cv2.estimateAffinePartial2D(first[0][i], second[0][j], **fit)
    if transform is None:
        return nothing | dict(matches=len(i))
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    angle = float(np.degrees(np.arctan2(transform[1, 0], transform[0, 0])))
    plausible = 0.33 < scale < 3
    return dict(matches=len(i), inliers=int(inside.sum()) if plausible else 0, scale=scale, angle_deg=angle)


def matches(one, two):
    """Index arrays of mutual nearest descriptors whose runner-up is clearly farther."""
    one, two = one.astype(np.float32), two.astype(np.float32)
    distance = (one**2).sum(1)[:, None] + (two**2).sum(1)[None] - 2 * one @ two.T
    best = distance.argmin(1)
    rows = np.arange(len(one))
    nearest = distance[rows, best]
    distance_without = distance.copy()
    distance_without[rows, best] = np.inf
    keep = (distance.argmin(0)[best] == rows) & (nearest < RATIO**2 * distance_without.min(1))
    return rows[keep], best[keep]


def search(images, pairs, *, workers=2):
    """Verify candidate pairs, computing the features of every image once.

    Parameters
    ----------
    images : (n, h, w, 3) uint8 array
    pairs : DataFrame
        From :func:`candidates`.

    Returns
    -------
    DataFrame
        The pairs with ``matches, inliers, scale, angle_deg``, most inliers first.
    """
    needed = np.unique(pairs[["a", "b"]].to_numpy())
    with ThreadPoolExecutor(workers) as pool:
        each = pool.map(lambda i: features(images[i]), needed)
        described = dict(zip(needed, tqdm(each, total=len(needed), desc="features", leave=False), strict=True))
        each = pool.map(lambda a, b: verify(described[a], described[b]), pairs["a"], pairs["b"])
        evidence = list(tqdm(each, total=len(pairs), desc="pairs", leave=False))
    found = pairs.join(pd.DataFrame(evidence, index=pairs.index, columns=EVIDENCE))
    return found.sort_values(["inliers", "similarity"], ascending=False, ignore_index=True)


def thumbnails(images, *, side=8):
    """Small pictures as embeddings, in four quarter turns: enough for some hundred phantoms, far too coarse for HAM10000.

    Returns
    -------
    (4, n, 3 side^2) float array
    """
    h, w = images.shape[1:3]
    left = (w - h) // 2
    squares = (np.ascontiguousarray(image[:, left : left + h]) for image in images)
    small = np.stack([cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA) for square in squares])
    return np.stack([np.rot90(small, turn, (1, 2)).reshape(len(images), -1).astype(np.float64) for turn in range(4)])
