"""How good are generated images? The sets to compare, the quality table, diversity, copies, and a probe of what they teach."""

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers.fidelity import discriminator, frechet, jackknife, kid, prdc_of
from helpers.intervals import NOTHING, flat
from helpers.lesions import CLASSES
from helpers.splits import HELD

SHARE, POSITIVE = (0.0, 1.0), (0.0, np.inf)
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


@dataclass(frozen=True)
class Sample:
    """A set of images: ``images`` (n, h, w, 3) uint8, ``dx`` (n,) str, ``groups`` (n,) str (the lesion, or a name of its own)."""

    images: np.ndarray
    dx: np.ndarray
    groups: np.ndarray

    def pick(self, rows):
        """Some of its images."""
        return Sample(self.images[rows], self.dx[rows], self.groups[rows])


def samples(frame, images, made, dx, *, size, shares=True, seed=0):
    """The sets to compare, all at the generator's resolution and with the same number of images of every class.

    Parameters
    ----------
    frame : DataFrame
        ``dx, group, role`` of every real image.
    images : (n, h, w, 3) uint8 array
        Row i belongs to row i of ``frame``.
    made : (m, size, round(4/3 size), 3) uint8 array
        Generated images of classes ``dx``.
    size : int
        Short side in pixels.
    shares : bool
        Whether the classes have the shares of the train role; else there are of every class as many images as all sets have.

    Returns
    -------
    dict of str to Sample
        ``reference`` (one half of train, by lesions), ``other half``, ``held out`` (select and calibrate), ``generated``, and the bounds ``blurred``
        (the other half), ``mean image`` (of each class) and ``noise`` (pixels with the mean and deviation of the reference).
    """
    rng = np.random.default_rng(seed)
    names = rng.permutation(frame["group"].unique())
    half = frame["group"].map(dict(zip(names, np.arange(len(names)) % 2, strict=True))).to_numpy()
    role = frame["role"].to_numpy()
    where = {"reference": (role == "train") & (half == 0), "other half": (role == "train") & (half == 1),
             "held out": np.isin(role, HELD)}
    labels = {name: frame["dx"][mask] for name, mask in where.items()} | {"generated": pd.Series(dx)}
    counts = matched(labels, frame["dx"][role == "train"], shares=shares)
    out = {}
    for name, mask in where.items():
        rows = chosen(frame["dx"].where(mask).to_numpy(), counts, rng)
        out[name] = Sample(shrunk(images, rows, size), frame["dx"].to_numpy()[rows], frame["group"].to_numpy(dtype=str)[rows])
    rows = chosen(np.asarray(dx), counts, rng)
    out["generated"] = Sample(made[rows], np.asarray(dx)[rows], rows.astype(str))
    return out | bounds(out["reference"], out["other half"], rng)


def bounds(reference, other, rng):
    """Sets that no generator should lose against, made from real ones."""
    blurred = np.stack([cv2.GaussianBlur(image, (0, 0), len(image) / 32) for image in other.images])
    mean = {code: reference.images[reference.dx == code].mean(0) for code in np.unique(reference.dx)}
    pixels = reference.images.reshape(-1, 3)
    noise = rng.normal(pixels.mean(0), pixels.std(0), other.images.shape).clip(0, 255)
    single = np.arange(len(other.dx)).astype(str)
    return {"blurred": Sample(blurred, other.dx, other.groups), "noise": Sample(noise.astype(np.uint8), other.dx, single),
            "mean image": Sample(np.stack([mean[code] for code in other.dx]).astype(np.uint8), other.dx, single)}


def matched(labels, train, *, shares=True):
    """Images per class that all sets have, in the ``shares`` of ``train`` (every class at least once) or as many as there are.

    Examples
    --------
    >>> matched({"a": pd.Series(["nv"] * 8 + ["mel"] * 2)}, pd.Series(["nv"] * 30 + ["mel"] * 10))
    {'nv': 6, 'mel': 2}
    """
    share = train.value_counts(normalize=True)
    if not shares:
        return {code: min(int((one == code).sum()) for one in labels.values()) for code in share.index}
    most = min((one.value_counts().reindex(share.index, fill_value=0) / share).min() for one in labels.values())
    return {code: max(1, int(round(most * part, 6))) for code, part in share.items()}


def chosen(dx, counts, rng):
    """Rows of a random choice with the wanted count of each class, sorted."""
    return np.sort(np.concatenate([rng.choice(np.flatnonzero(dx == code), n, replace=False) for code, n in counts.items()]))


def shrunk(images, rows, size):
    """Some frames at the generator's resolution: squeezed to its square and back, as its own pictures are."""
    out = [cv2.resize(np.asarray(images[row]), (size, size), interpolation=cv2.INTER_AREA) for row in rows]
    return np.stack([cv2.resize(image, (round(size * 4 / 3), size), interpolation=cv2.INTER_LINEAR) for image in out])


def compare(features, sets, *, reference="reference"):
    """The quality table: every set against the reference.

    Parameters
    ----------
    features : dict of str to (n, d) array
        Standardised.
    sets : dict of str to Sample

    Returns
    -------
    DataFrame
        ``set, images, kid, frechet_ours, precision, recall, density, coverage, discriminator_auc`` with ``_low`` and ``_high``.
    """
    x, rows = features[reference], []
    gx = sets[reference].groups
    own = cdist(x, x)
    for name in (name for name in features if name != reference):
        y, gy = features[name], sets[name].groups
        other, between = cdist(y, y), cdist(x, y)
        found = {"kid": kid(x, y, gx, gy), "frechet_ours": jackknife(lambda i, j, y=y: frechet(x[i], y[j]), [gx, gy], blocks=10, within=POSITIVE)}
        for part, within in (("precision", SHARE), ("recall", SHARE), ("density", POSITIVE), ("coverage", SHARE)):
            found[part] = jackknife(lambda i, j, part=part, other=other, between=between: prdc_of(
                own[np.ix_(i, i)], other[np.ix_(j, j)], between[np.ix_(i, j)])[part], [gx, gy], blocks=10, within=within)
        found["discriminator_auc"] = discriminator(x, y, gx, gy)
        rows.append(dict(set=name, images=len(y)) | flat(found))
    return pd.DataFrame(rows)


def by_class(features, sets, names, *, reference="reference"):
    """KID within each class: ``set, images, dx, kid, kid_low, kid_high``; nan where a set has fewer than four lesions of it."""
    rows = []
    for name in names:
        for code in CLASSES:
            i, j = (sets[one].dx == code for one in (reference, name))
            groups = sets[reference].groups[i], sets[name].groups[j]
            enough = min(len(np.unique(one)) for one in groups) >= 4
            found = kid(features[reference][i], features[name][j], *groups) if enough else NOTHING
            rows.append(dict(set=name, dx=code, images=int(j.sum())) | flat(dict(kid=found)))
    return pd.DataFrame(rows)


def diversity(sample, *, pairs=150, seed=0):
    """Mean MS-SSIM of random pairs of one class: the lower, the more diverse. No lesion is in two pairs, so that they are independent.

    Returns
    -------
    dict
        ``value, low, high, n``; n counts pairs, at most ``pairs``.

    References
    ----------
    Wang, Simoncelli, Bovik (2003), Multiscale structural similarity for image quality assessment, Asilomar.
    """
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as ms_ssim

    rng, both = np.random.default_rng(seed), []
    order = rng.permutation(len(sample.dx))
    single = order[np.unique(sample.groups[order], return_index=True)[1]]  # one image of every lesion
    for code in np.unique(sample.dx):
        own = rng.permutation(single[sample.dx[single] == code])
        both += zip(own[::2], own[1::2], strict=False)
    if len(both) < 2:
        raise ValueError("no class has enough lesions: there are no pairs to compare")
    one, two = (torch.from_numpy(sample.images[rows]).permute(0, 3, 1, 2).float() / 255 for rows in rng.permutation(both)[:pairs].T)
    scales = SCALES[: int(np.log2(one.shape[2] / 10)) + 1]  # the window of 11 pixels must fit the smallest
    each = ms_ssim(one, two, data_range=1.0, betas=tuple(b / sum(scales) for b in scales), normalize="relu", reduction="none").double().numpy()
    return jackknife(lambda rows: each[rows].mean(), [np.arange(len(each))], within=SHARE)


def thumbnails(images, *, size=16):
    """Pixels of small copies in [0, 1], (n, 3 size²) float32: the pixel space in which copies are looked for."""
    return np.stack([cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in images]).reshape(len(images), -1) / np.float32(255)


def memorisation(made, held, held_groups, *, by="closer", share=0.05):
    """Are generated images closer to train images than other real images are?

    Parameters
    ----------
    made, held : (n,), (m,) float arrays
        Distances to the nearest train image, of generated and of held-out real images.
    held_groups : (m,) array
    by : str
        ``closer``: the share of generated images below the distance of the closest held-out ones (``share`` were expected where those are
        many), or, where they are few, ``nearer``: the share of pairs of one of each in which the generated one is (a half were expected).
    share : float
        Held-out images that are as close as the limit, in (0, 1).

    Returns
    -------
    dict
        ``ratio`` (of the medians) and what ``by`` names, each with ``value, low, high, n``.
    """
    groups = [np.asarray(held_groups), np.arange(len(made))]
    shares = {"closer": lambda i, j: (made[j] < np.quantile(held[i], share)).mean(),
              "nearer": lambda i, j: np.searchsorted(np.sort(made[j]), held[i]).mean() / len(j)}
    return {"ratio": jackknife(lambda i, j: np.median(made[j]) / np.median(held[i]), groups, within=POSITIVE),
            by: jackknife(shares[by], groups, within=SHARE)}


def probe(train_x, train_dx, x):
    """(n, 7) class probabilities for features x of a logistic regression with equally weighted classes."""
    rule = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=500)).fit(train_x, train_dx)
    out = np.zeros((len(x), len(CLASSES)))
    out[:, [CLASSES.index(code) for code in rule.classes_]] = rule.predict_proba(x)
    return out
