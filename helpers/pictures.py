"""Picture files: found in folders and zips, read in place, decoded to one size."""

import io
import os
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from helpers.progress import tqdm

ASPECT = 4 / 3
SUFFIXES = (".jpg", ".jpeg", ".png")
MASK_SUFFIX = "_segmentation"
MASK_CUT = 127
MAX_PIXELS = 30_000_000  # 90 MB as RGB, for every worker at once
WORKERS = min(8, os.cpu_count() or 1)
NAMED = 200  # names in one message
VERSION = 1  # raise by hand when decode() gives other pixels, so that caches are built anew
# What reading a file or a member of a damaged or encrypted zip raises.
UNREADABLE = (OSError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error)


def shape_of(size):
    """Height and width of frames of a short side: 4:3, as HAM10000 is.

    Examples
    --------
    >>> shape_of(150)
    (150, 200)
    """
    return size, round(size * ASPECT)


def locate(folder, kind):
    """Where every picture is, in a folder, its subfolders and its zips.

    Parameters
    ----------
    folder : Path
    kind : {"images", "masks"}
        Masks have ``_segmentation`` in their names; ids come without it.

    Returns
    -------
    dict
        ``{id: (file, None)}``, or ``{id: (zip file, member)}``.

    Raises
    ------
    FileNotFoundError, ValueError
        No such pictures, or a zip that is not whole.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no data folder {folder.name}/: run make data, or set HAM10000_DIR to where the data are")
    found = {}
    for file in sorted(os.path.join(base, name) for base, _, names in os.walk(folder) for name in names):
        zipped = file.lower().endswith(".zip")
        for name in members(Path(file)) if zipped else [file]:
            stem, suffix = os.path.splitext(os.path.basename(name))
            is_picture = suffix.lower() in SUFFIXES and not stem.startswith(".")
            if is_picture and stem.endswith(MASK_SUFFIX) == (kind == "masks"):
                found.setdefault(stem.removesuffix(MASK_SUFFIX), (Path(file), name if zipped else None))
    if not found:
        raise FileNotFoundError(f"no {kind} in {folder.name}/: run make data, or put {kind}.zip or a folder of {kind} there")
    return found


def members(file):
    """Names in a zip; ValueError where it is not whole."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.namelist()
    except zipfile.BadZipFile:
        raise ValueError(f"{file.name} is not a whole zip file: delete it and fetch it again with make data") from None


def pick(found, ids, kind):
    """Places of the pictures in the order of ``ids``; FileNotFoundError names the missing ones."""
    missing = [name for name in ids if name not in found]
    if missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise FileNotFoundError(f"{len(missing)} {kind} are missing, run make data: {', '.join(missing[:NAMED])}{more}")
    return {name: found[name] for name in ids}


@contextmanager
def reader(where):
    """Give a function from a place (a value of ``where``) to its bytes; every zip is opened once, and threads may share it."""
    with ExitStack() as stack:
        files = {file for file, member in where.values() if member is not None}
        zips = {file: stack.enter_context(zipfile.ZipFile(file)) for file in files}
        yield lambda place: place[0].read_bytes() if place[1] is None else zips[place[0]].read(place[1])


def decode(content, size, *, crop=False, least=1):
    """One picture as upright RGB.

    Grey, CMYK and transparent pictures (over white) become RGB and EXIF turns are applied; the whole frame is resized to
    4:3, so another shape is stretched.

    Parameters
    ----------
    content : bytes
        A JPEG or PNG file.
    size : int
        Short side in pixels.
    crop : bool
        Cut another shape to 4:3 about its centre instead.
    least : int
        Fewest pixels that a side may have.

    Returns
    -------
    (size, round(4/3 size), 3) uint8 array

    Raises
    ------
    ValueError
        The bytes are no whole picture, or one that is too small or of more than ``MAX_PIXELS``.
    """
    h, w = shape_of(size)
    if not content:
        raise ValueError("zero bytes")
    try:
        with Image.open(io.BytesIO(content)) as picture:
            if min(picture.size) < least:
                raise ValueError(f"{picture.width} x {picture.height} pixels, fewer than {least}")
            picture.draft("RGB", (2 * w, 2 * h))  # a large JPEG is decoded small
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(f"{picture.width} x {picture.height} pixels, more than {MAX_PIXELS // 10**6} million")
            picture = ImageOps.exif_transpose(picture)
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            if crop:
                return np.asarray(ImageOps.fit(picture.convert("RGB"), (w, h), Image.Resampling.BILINEAR))
            return np.asarray(picture.convert("RGB").resize((w, h), Image.Resampling.BILINEAR, reducing_gap=2.0))
    except UnidentifiedImageError:
        raise ValueError("not an image") from None
    except Exception as error:  # broken bytes make the decoders raise nearly anything
        raise ValueError(str(error) or type(error).__name__) from None


def decode_mask(content, size):
    """One lesion mask as (size, round(4/3 size)) bool: true above 127."""
    return decode(content, size)[..., 0] > MASK_CUT


def fill(where, out, convert):
    """Decode pictures in parallel into the rows of an array.

    Parameters
    ----------
    where : dict
        From :func:`pick`.
    out : (n, ...) uint8 array
    convert : callable
        Bytes to a row.

    Raises
    ------
    ValueError
        Names every broken picture, after all were tried.
    """
    faults = []

    def one(row, name, place):
        try:
            out[row] = convert(read(place))
        except (ValueError, *UNREADABLE) as error:
            faults.append(f"{name} ({error})")

    with reader(where) as read, ThreadPoolExecutor(WORKERS) as pool:
        done = pool.map(one, range(len(where)), where, where.values())
        for _ in tqdm(done, total=len(where), desc="decoding", unit="image", leave=False):
            pass
    if faults:
        more = f" and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise ValueError(f"{len(faults)} pictures are broken, fetch them again: {'; '.join(sorted(faults)[:NAMED])}{more}")
