"""Generated images as a source: a folder of pictures with a manifest, from our generator or imported from elsewhere."""

import hashlib
import re
import shutil

import numpy as np
import pandas as pd
from PIL import Image

from helpers import paths, pictures
from helpers.cache import cached
from helpers.lesions import CLASSES

MANIFEST = "manifest.csv"
COLUMNS = ["file", "dx", "label_source", "generator"]
LABEL_SOURCES = ("condition", "prompt")  # the class a generator was told; never a diagnosis
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def folder(name):
    """Where a collection is: ``data/generated/<name>``, which git ignores."""
    if not NAME.fullmatch(name):
        raise ValueError(f"a collection is named with small letters, digits, - and _, got {name!r}: choose another name")
    return paths.GENERATED / name


def sha256(name):
    """Sha256 of a collection's manifest, or None where there is none."""
    file = folder(name) / MANIFEST
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def manifest(name):
    """The manifest of a collection.

    Returns
    -------
    DataFrame
        ``file`` (below the folder), ``dx`` (class), ``label_source`` (``condition``: what our generator was told, ``prompt``: what another
        one was asked for) and ``generator`` (key of what made it).

    Raises
    ------
    FileNotFoundError, ValueError
        No such collection, or a manifest that breaks a rule.
    """
    file = folder(name) / MANIFEST
    if not file.is_file():
        raise FileNotFoundError(f"no generated images {name!r} in data/generated: import a folder with python -m helpers.data import FOLDER")
    frame = pd.read_csv(file, dtype=str)
    missing = [column for column in COLUMNS if column not in frame]
    if missing or frame.empty:
        raise ValueError(f"the manifest of {name} lacks {', '.join(missing) or 'rows'}: import or generate the images again")
    for column, known in (("dx", CLASSES), ("label_source", LABEL_SOURCES)):
        wrong = frame[~frame[column].isin(known)]
        if len(wrong):
            row = wrong.iloc[0]
            raise ValueError(f"the manifest of {name} has {column} {row[column]!r} for {row['file']}: choose one of {', '.join(known)}")
    return frame[COLUMNS]


def write(name, images, dx, *, label_source, generator):
    """Write a collection: the pictures as PNG, then the manifest; the folder appears whole, in place of an older one.

    The manifest does not depend on the machine: file names, classes and the generator's key only.

    Parameters
    ----------
    name : str
    images : (n, h, w, 3) uint8 array
    dx : (n,) str
        Classes.
    label_source : str
        One of ``LABEL_SOURCES``.
    generator : str
        Key of what made them.

    Returns
    -------
    DataFrame
        The manifest.
    """
    place = folder(name)
    temporary = place.with_name(f".{name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    count, rows = dict.fromkeys(CLASSES, 0), []
    for image, code in zip(images, dx, strict=True):
        file = f"{code}_{count[code]:04d}.png"
        count[code] += 1
        Image.fromarray(image).save(temporary / file)
        rows.append((file, code, label_source, generator))
    pd.DataFrame(rows, columns=COLUMNS).to_csv(temporary / MANIFEST, index=False, lineterminator="\n")
    shutil.rmtree(place, ignore_errors=True)
    temporary.rename(place)
    return manifest(name)


def load_images(name, size):
    """Pictures of a collection in the order of its manifest, (n, size, round(4/3 size), 3) uint8, memory-mapped."""
    frame = manifest(name)
    where = {file: (folder(name) / file, None) for file in frame["file"]}
    lost = [file for file, (path, _) in where.items() if not path.is_file()]
    if lost:
        raise FileNotFoundError(f"{len(lost)} pictures of {name} are gone, {lost[0]} first: delete data/generated/{name} and make it again")
    digest = hashlib.sha256(str(pictures.VERSION).encode())
    for file, (path, _) in where.items():
        digest.update(file.encode() + path.read_bytes())
    shape = (len(frame), *pictures.shape_of(size), 3)
    return cached(f"generated-{name}", digest.hexdigest(), shape, lambda out: pictures.fill(where, out, lambda b: pictures.decode(b, size)))


class Joined:
    """An image array with further rows behind it, without a copy of it.

    Parameters
    ----------
    images : (n, h, w, 3) uint8 array
    more : (m, h, w, 3) uint8 array
    source : (k,) int
        What row n + i shows: row ``source[i]`` of ``images`` where that is below n, else row ``source[i] - n`` of ``more``.

    Examples
    --------
    >>> joined = Joined(np.zeros((2, 1, 1, 3), np.uint8), np.ones((1, 1, 1, 3), np.uint8), [1, 2])
    >>> joined.shape, joined[np.array([0, 2, 3])][:, 0, 0, 0].tolist()
    ((4, 1, 1, 3), [0, 0, 1])
    """

    def __init__(self, images, more, source):
        self.images, self.more, self.source = images, more, np.asarray(source, dtype=int)

    def __len__(self):
        return len(self.images) + len(self.source)

    @property
    def shape(self):
        return (len(self), *self.images.shape[1:])

    @property
    def nbytes(self):
        return int(np.prod(self.shape))

    def __getitem__(self, rows):
        n, rows = len(self.images), np.arange(len(self))[rows]
        rows = np.where(rows < n, rows, self.source[np.maximum(rows - n, 0)])
        out = np.empty((*rows.shape, *self.images.shape[1:]), np.uint8)
        real = rows < n
        out[real], out[~real] = self.images[rows[real]], self.more[rows[~real] - n]
        return out

    def __array__(self, dtype=None, copy=None):
        return self[:]


def join(config, images, target, rows):
    """Put the generated or repeated images of a configuration behind the real ones.

    Parameters
    ----------
    config : TrainConfig
        ``generated``, ``per_class``, ``oversample``, ``cache_size`` and ``seed`` are read.
    images : (n, h, w, 3) uint8 array
    target : (n,) int
    rows : (m,) int
        Real images to train on.

    Returns
    -------
    images, target, rows
        With the new rows from n on; the very same objects where nothing joins.

    Raises
    ------
    ValueError
        The collection has fewer images of a class than asked for.
    """
    if not (config.per_class or config.oversample):
        return images, target, rows
    minority, more, source = minorities(target[rows]), np.empty((0, *images.shape[1:]), np.uint8), []
    if config.per_class:
        more, label = load_images(config.collection, config.cache_size), manifest(config.collection)["dx"].map(CLASSES.index).to_numpy()
        source += [len(images) + first(label, c, config.per_class, config.collection) for c in minority]
    if config.oversample:
        generator = np.random.default_rng((config.seed, config.oversample))
        source += [np.resize(generator.permutation(rows[target[rows] == c]), config.oversample) for c in minority]
    labels = np.concatenate([np.full(len(one), c) for one, c in zip(source, [*minority] * 2, strict=False)])
    joined = Joined(images, more, np.concatenate(source))
    return joined, np.concatenate([target, labels]), np.concatenate([rows, np.arange(len(images), len(joined))])


def minorities(target):
    """Classes that occur, but for the most frequent one.

    Examples
    --------
    >>> minorities(np.array([5, 5, 5, 4, 0])).tolist()
    [0, 4]
    """
    classes, counts = np.unique(target, return_counts=True)
    return np.delete(classes, counts.argmax())


def first(label, c, count, name):
    """Rows of the first ``count`` images of class ``c``."""
    own = np.flatnonzero(label == c)
    if len(own) < count:
        raise ValueError(f"{name} has {len(own)} images of {CLASSES[c]}, {count} are wanted: generate or import more, or lower per_class")
    return own[:count]
