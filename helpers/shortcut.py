"""A planted shortcut: the phantom with one artefact on every image of one class and on no other, so that the truth about a network is known."""

import hashlib
import inspect
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from helpers import data, phantom, pictures
from helpers.artefacts import ARTEFACTS
from helpers.cache import cached

CLASS = "mel"


def load_images(source, size, artefact):
    """Images of a source with the artefact planted on melanoma, as :func:`helpers.data.load_images` gives them without.

    Raises
    ------
    ValueError
        A source other than the phantom, or an artefact that cannot be painted.
    """
    if source != "phantom":
        raise ValueError(f"a shortcut is planted in the phantom only, not in {source}: use PRESET=quick")
    if artefact not in ARTEFACTS:
        raise ValueError(f"no artefact {artefact!r}: choose one of {', '.join(ARTEFACTS)}")
    frame = data.load_metadata(source)
    own = inspect.getsource(sys.modules[__name__]).encode()
    key = hashlib.sha256(data.fingerprint(source).encode() + own + artefact.encode()).hexdigest()

    def build(out):
        np.copyto(out, draw(frame, artefact, present=frame["dx"] == CLASS, size=size)[0])

    return cached(f"phantom-{artefact}", key, (len(frame), *pictures.shape_of(size), 3), build)


def draw(frame, artefact, *, present, size, rows=None):
    """Draw phantoms with an artefact exactly where it is wanted, all else as :func:`helpers.phantom.generate` draws it.

    Parameters
    ----------
    frame : DataFrame
        Metadata of the whole collection.
    artefact : str
        One of ``artefacts.ARTEFACTS``.
    present : (n,) bool
        Which images have it.
    size : int
        Short side in pixels.
    rows : (m,) int, optional
        Draw these only.

    Returns
    -------
    images : (m, size, round(4/3 size), 3) uint8 array
    masks : (m, size, round(4/3 size)) bool array
        The lesions.
    marks : (m, size, round(4/3 size)) bool array
        The artefact.
    """
    same, present = phantom.planted_pairs(frame), np.asarray(present)
    rows = np.arange(len(frame)) if rows is None else rows
    seed_of = lambda name: zlib.crc32(name.encode())  # noqa: E731

    def one(row):
        about = frame.iloc[row]
        seeds = dict(lesion_seed=seed_of(same.get(about["lesion_id"], about["lesion_id"])), view_seed=seed_of(about["image_id"]), size=size)
        picture = phantom.draw(about["dx"], **seeds)
        if (artefact in picture.artefacts) == present[row]:
            return picture
        others = set(picture.artefacts) ^ {artefact}
        return phantom.draw(about["dx"], **seeds, artefacts=tuple(name for name in ARTEFACTS if name in others))

    with ThreadPoolExecutor() as pool:
        drawn = list(pool.map(one, rows))
    nothing = np.zeros(drawn[0].mask.shape, bool)
    return (np.stack([p.image for p in drawn]), np.stack([p.mask for p in drawn]), np.stack([p.artefacts.get(artefact, nothing) for p in drawn]))
