"""The phantom: a collection that stands in for HAM10000 where there is no data, and whose truth is known.

Its metadata has HAM10000's form and about its frequencies; :mod:`helpers.dermatoscope` draws its images. It is a drawing,
not a model of disease: nothing learned from it holds for patients.
"""

import os
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from helpers import dermatoscope
from helpers.lesions import CLASSES

N_IMAGES = 1200
MIN_LESIONS = 24
PUBLISHED = dict(akiec=327, bcc=514, bkl=1099, df=115, mel=1113, nv=6705, vasc=142)
SINGLE = dict(akiec=0.67, bcc=0.56, bkl=0.61, df=0.55, mel=0.38, nv=0.815, vasc=0.65)  # share of lesions with one image
AGE = dict(akiec=(66, 11), bcc=(67, 13), bkl=(65, 13), df=(51, 13), mel=(61, 15), nv=(47, 16), vasc=(51, 21))
MALE = dict(akiec=0.68, bcc=0.61, bkl=0.58, df=0.45, mel=0.62, nv=0.51, vasc=0.48)
CONFIRMED = dict(
    akiec=dict(histo=1.0), bcc=dict(histo=1.0), mel=dict(histo=1.0), bkl=dict(histo=0.70, consensus=0.23, confocal=0.07),
    df=dict(histo=0.48, consensus=0.52), nv=dict(follow_up=0.55, histo=0.37, consensus=0.08), vasc=dict(histo=0.33, consensus=0.67),
)
SITES = dict(back=219, trunk=140, abdomen=102, chest=41, foot=32, neck=17, scalp=13, hand=9, ear=6, genital=5, acral=1, face=74)
SITES |= {"lower extremity": 208, "upper extremity": 112, "unknown": 23}
FACE = dict(akiec=8.0, bcc=3.0, bkl=5.0, mel=1.2)  # how much more often than overall on face, scalp and ear


def metadata(n=N_IMAGES, *, seed=0):
    """Metadata of a phantom collection in HAM10000's form and with about its frequencies.

    Parameters
    ----------
    n : int
        About how many images; rare classes get at least ``MIN_LESIONS`` lesions on top of their share.

    Returns
    -------
    DataFrame
        ``lesion_id, image_id, dx, dx_type, age, sex, localization``.

    References
    ----------
    Tschandl, Rosendahl, Kittler (2018), Scientific Data 5:180161: published counts; images per lesion, age, sex and site
    are rounded from its metadata.
    """
    rng = np.random.default_rng(seed)
    lesions = [row for dx in CLASSES for row in lesions_of(dx, n * PUBLISHED[dx] / sum(PUBLISHED.values()), rng)]
    rng.shuffle(lesions)
    rows, number = [], 0
    for i, (images, facts) in enumerate(lesions):
        for _ in range(images):
            rows.append(dict(lesion_id=f"PHL_{i:07d}", image_id=f"PHA_{number:07d}", **facts))
            number += 1
    return pd.DataFrame(rows)


def lesions_of(dx, quota, rng):
    """Lesions of one class until the quota of images is reached: list of (images, facts)."""
    sites = {site: k * (FACE.get(dx, 0.5) if site in ("face", "scalp", "ear") else 1) for site, k in SITES.items()}
    share = np.array(list(sites.values())) / sum(sites.values())
    out, images = [], 0
    while images < quota or len(out) < MIN_LESIONS:
        count = 1 if rng.random() < SINGLE[dx] else int(rng.choice([2, 3, 4], p=[0.74, 0.23, 0.03]))
        age = np.nan if rng.random() < 0.006 else float(np.clip(5 * round(rng.normal(*AGE[dx]) / 5), 5, 85))
        kinds = CONFIRMED[dx]
        facts = dict(dx=dx, dx_type=str(rng.choice(list(kinds), p=list(kinds.values()))), age=age,
                     sex="male" if rng.random() < MALE[dx] else "female", localization=str(rng.choice(list(sites), p=share)))
        out.append((count, facts))
        images += count
    return out


def planted_pairs(frame):
    """Lesions that are drawn as one and the same although their ids differ: ``{second id: first id}``, one pair for each of four classes."""
    by_class = frame.drop_duplicates("lesion_id").groupby("dx")["lesion_id"]
    return {ids.iloc[-1]: ids.iloc[0] for dx, ids in by_class if dx in ("nv", "mel", "bkl", "bcc")}


def views(frame, twins=None):
    """What decides each image: ``dx, lesion_seed, view_seed`` of :func:`helpers.dermatoscope.draw`, a list of dicts."""
    same = planted_pairs(frame) if twins is None else twins
    return [dict(dx=row.dx, lesion_seed=zlib.crc32(same.get(row.lesion_id, row.lesion_id).encode()), view_seed=zlib.crc32(row.image_id.encode()))
            for row in frame.itertuples()]


def generate(frame, *, size, twins=None, workers=None):
    """Draw all images of a collection.

    Parameters
    ----------
    frame : DataFrame
        From :func:`metadata`.
    size : int
        Short side in pixels; frames are 4:3.
    twins : dict, optional
        From :func:`planted_pairs`; the frame's own where left out (a part of a collection needs those of the whole).
    workers : int, optional
        Threads; the pictures do not depend on it.

    Returns
    -------
    images : (n, size, round(4/3 size), 3) uint8 array
    masks : (n, size, round(4/3 size)) bool array
    """
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        pictures = list(pool.map(lambda view: dermatoscope.draw(**view, size=size), views(frame, twins)))
    return np.stack([picture.image for picture in pictures]), np.stack([picture.mask for picture in pictures])
