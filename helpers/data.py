"""HAM10000 as it comes (Dataverse, Kaggle or one folder), and the phantom; decoded once into a memory-mapped array."""

import functools
import hashlib
import inspect
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from helpers import artefacts, dermatoscope, download, intake, paths, phantom, pictures
from helpers.cache import cached
from helpers.commands import plainly
from helpers.lesions import CLASSES
from helpers.progress import tqdm

METADATA = ("HAM10000_metadata.csv", "HAM10000_metadata", "HAM10000_metadata.tab", "HAM10000_metadata.txt")
COLUMNS = ["image_id", "lesion_id", "dx", "dx_type", "age", "sex", "localization"]
# Sha256 of the labels that the committed split and results were made with (see labels_sha256).
LABELS = "7c1fc6eeb736fb9d176536f95ce2cd30c771e89d1bd1408fc1edeaf395ac5f93"

TEXT = pa.Check.str_length(min_value=1)
SCHEMA = pa.DataFrameSchema({
    "image_id": pa.Column(str, TEXT, unique=True),
    "lesion_id": pa.Column(str, TEXT),
    "dx": pa.Column(str, pa.Check.isin(CLASSES)),
    "dx_type": pa.Column(str),
    "age": pa.Column(float, pa.Check.in_range(0, 120), nullable=True),
    "sex": pa.Column(str, nullable=True),
    "localization": pa.Column(str, nullable=True),
})


def load_metadata(source, *, folder=None):
    """Metadata of a source, validated, one row per image, sorted by ``image_id``.

    Parameters
    ----------
    source : str
        ``phantom`` or ``ham10000``.
    folder : Path, optional
        Where HAM10000 is; :func:`helpers.paths.ham10000_dir` where left out.

    Returns
    -------
    DataFrame
        ``image_id, lesion_id, dx, dx_type, age`` (years, nan where unknown), ``sex, localization``.

    Raises
    ------
    FileNotFoundError, ValueError
        No data, or metadata that break a rule; the message names the column or the ids.

    References
    ----------
    Tschandl, Rosendahl, Kittler (2018), Scientific Data 5:180161, doi:10.7910/DVN/DBW86T.

    Examples
    --------
    >>> load_metadata("phantom").columns.tolist()
    ['image_id', 'lesion_id', 'dx', 'dx_type', 'age', 'sex', 'localization']
    """
    if source not in ("phantom", "ham10000"):
        raise ValueError(f"no source {source!r}: choose phantom or ham10000")
    if source == "phantom":
        return validate(phantom.metadata(), source)
    file = metadata_file(place(folder))
    try:
        with file.open(encoding="utf-8") as handle:
            separator = "\t" if "\t" in handle.readline() else ","
        frame = pd.read_csv(file, sep=separator)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        raise ValueError(f"{file.name} is no table with commas or tabs: delete it and run make data") from None
    return validate(frame, file.name)


def place(folder):
    """The given folder, or where HAM10000 is by default."""
    return Path(folder or paths.ham10000_dir())


def metadata_file(folder):
    """The metadata file of HAM10000, whatever its name."""
    for name in METADATA:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"no {METADATA[0]} in {folder.name}/: run make data, or set HAM10000_DIR to the folder that holds it")


def validate(frame, name):
    """Check columns, classes, ids, ages and one diagnosis per lesion; ``name`` is for the message, which tells all faults."""
    missing = [column for column in COLUMNS if column not in frame]
    if missing:
        raise ValueError(f"{name} lacks the column {', '.join(missing)}: use the published file")
    frame = frame[COLUMNS].copy()
    try:
        frame["age"] = frame["age"].astype(float)
        for column in ("sex", "localization"):
            frame[column] = frame[column].replace("unknown", np.nan)
        SCHEMA.validate(frame, lazy=True)
    except ValueError:
        raise ValueError(f"{name} has an age that is no number: correct it, or use the published file") from None
    except pa.errors.SchemaErrors as error:
        faults = error.failure_cases.drop_duplicates(["column", "failure_case", "check"])
        told = ", ".join(f"{row.column} {row.failure_case!r} ({row.check})" for row in faults.head(5).itertuples())
        raise ValueError(f"{name} breaks {len(faults)} rules, {told}: correct it, or use the published file") from None
    several = frame.groupby("lesion_id")["dx"].nunique()
    several = several[several > 1].index
    if len(several):
        shown = ", ".join(several[:5])
        raise ValueError(f"{name} gives two diagnoses to lesion {shown} ({len(several)} in all): correct dx or lesion_id")
    return frame.sort_values("image_id", ignore_index=True)


def labels_sha256(frame):
    """Sha256 over ``image_id,lesion_id,dx`` of every image: the same however the metadata are stored.

    Examples
    --------
    >>> labels_sha256(pd.DataFrame({"image_id": ["i"], "lesion_id": ["l"], "dx": ["nv"]}))[:8]
    'a4b1dccd'
    """
    rows = sorted(",".join(row) for row in frame[["image_id", "lesion_id", "dx"]].itertuples(index=False))
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def available(source, kind="images"):
    """Whether all pictures of a source are here."""
    try:
        return source == "phantom" or bool(find(load_metadata(source), kind))
    except FileNotFoundError:
        return False


def find(frame, kind, folder=None):
    """Places of HAM10000's pictures, row by row of the metadata."""
    return pictures.pick(pictures.locate(place(folder), kind), frame["image_id"], kind)


def load_images(source, size, *, folder=None):
    """All images of a source, decoded once and then memory-mapped.

    Parameters
    ----------
    source : str
    size : int
        Short side in pixels; the full frame is kept at 4:3.

    Returns
    -------
    (n, size, round(4/3 size), 3) uint8 read-only memmap
        Row i belongs to row i of :func:`load_metadata`.

    Raises
    ------
    FileNotFoundError, ValueError
        Pictures that are missing or broken, all of them by name.
    OSError
        The disk is full; nothing half-written is left.
    """
    return stack(source, "images", size, folder, (3,), pictures.decode)


def load_masks(source, size, *, folder=None):
    """Lesion masks beside :func:`load_images`: (n, size, round(4/3 size)) bool memmap, true on the lesion."""
    return stack(source, "masks", size, folder, (), pictures.decode_mask).view(bool)


def stack(source, kind, size, folder, channels, decode):
    """Images or masks of a source from the cache, built there first where they are not in it."""
    frame = load_metadata(source, folder=folder)
    name = source if kind == "images" else f"{source}-{kind}"
    if source == "phantom":
        key = fingerprint(source)

        def build(out):
            np.copyto(out, phantom.generate(frame, size=size)[kind == "masks"])
    else:
        where = find(frame, kind, folder)
        key = content(name, frame, where)

        def build(out):
            pictures.fill(where, out, functools.partial(decode, size=size))

    key = hashlib.sha256(f"{key} {pictures.VERSION}".encode()).hexdigest()
    return cached(name, key, (len(frame), *pictures.shape_of(size), *channels), build)


def fingerprint(source, *, folder=None):
    """Sha256 of the metadata and the bytes of every image, however they are stored; of the phantom, metadata and code."""
    frame = load_metadata(source, folder=folder)
    if source == "phantom":
        return hashlib.sha256(frame.to_csv(index=False, lineterminator="\n").encode() + code()).hexdigest()
    return content(source, frame, find(frame, "images", folder))


@functools.cache
def code():
    """Source text of the phantom: its pictures may change when it does."""
    return "".join(inspect.getsource(room) for room in (phantom, dermatoscope, artefacts)).encode()


def content(name, frame, where):
    """Sha256 over the metadata and the bytes of some pictures, noted in the cache folder until a file's size or time changes."""
    digest, seen = hashlib.sha256(frame.to_csv(index=False, lineterminator="\n").encode()), {}
    state = digest.copy()
    for image, (file, member) in where.items():
        about = seen[file] = seen.get(file) or file.stat()
        state.update(f"{image} {file} {member} {about.st_size} {about.st_mtime_ns}\n".encode())
    note = paths.CACHE / f"{name}-{state.hexdigest()[:12]}.sha256"
    if note.is_file():
        return note.read_text()
    with pictures.reader(where) as read:
        for spot in tqdm(where.values(), desc="checking", unit="image", leave=False):
            try:
                digest.update(hashlib.sha256(read(spot)).digest())
            except pictures.UNREADABLE:
                digest.update(b"unreadable")  # decoding names it, with all others
    paths.write(note, digest.hexdigest())
    return digest.hexdigest()


@plainly()
def main():
    """``python -m helpers.data``: fetch what is missing of HAM10000 and verify it; ``... import FOLDER``: generated images."""
    if sys.argv[1:2] == ["import"]:
        return intake.main(sys.argv[2:])
    folder = place(None)
    if not any((folder / name).is_file() for name in METADATA):
        download.fetch(folder, kinds=["metadata"])
    frame = load_metadata("ham10000")
    for kind in ("images", "masks"):
        if not available("ham10000", kind):
            download.fetch(folder, kinds=[kind])
        find(frame, kind)
    held = download.verify(folder)
    if labels_sha256(frame) != LABELS:
        raise ValueError("labels differ from those of the committed split: check the metadata, or run make split")
    print(f"{paths.relative(folder)}: {len(frame)} images and masks, labels as expected, "
          f"{len(held)} files as first downloaded, content {fingerprint('ham10000')[:12]}")
    return None


if __name__ == "__main__":
    main()
