"""The import door: a folder of images made elsewhere becomes a collection of generated images."""

import argparse
import hashlib
import re
from collections import defaultdict
from pathlib import Path

import pandas as pd

from helpers import generated, pictures
from helpers.commands import plainly
from helpers.lesions import CLASSES, LESIONS

SIDE = 192  # short side of imported pictures, pixels
SMALLEST = 32


def collect(place, *, name=None, labels=None, replace=False):
    """Import a folder of images made elsewhere; what was asked for is their class, never a diagnosis.

    Pictures of another shape are cropped to 4:3 about their centre.

    Parameters
    ----------
    place : Path
        Folder with JPEG or PNG files, also in sub-folders.
    name : str, optional
        Of the collection; the folder's where left out.
    labels : Path, optional
        CSV with a column ``file`` (or ``image``, ``filename``) and a column ``dx`` (or ``class``, ``label``); a single CSV in the folder is
        found by itself. Without one the class is the sub-folder's name or a word of the file's name.

    replace : bool
        Whether a collection of that name may be replaced.

    Returns
    -------
    DataFrame
        The manifest.

    Raises
    ------
    FileNotFoundError, ValueError
        Nothing to import, a class that is not one of ours, or a picture that is broken, too small or there twice.
    """
    place = Path(place).expanduser()
    name = name or name_of(place)
    if generated.folder(name).exists() and not replace:
        raise ValueError(f"data/generated/{name} is there already: choose another --name, or delete it")
    files = sorted(file for file in place.rglob("*") if file.suffix.lower() in pictures.SUFFIXES and not file.name.startswith("."))
    if not files:
        raise FileNotFoundError(f"no JPEG or PNG pictures in {place.name}/: name the folder that holds them")
    dx, images, digests = classes_of(place, files, labels), [], {}
    for file in files:
        content = file.read_bytes()
        images.append(picture(file, content))
        twin = digests.setdefault(hashlib.sha256(content).hexdigest(), file)
        if twin != file:
            raise ValueError(f"{file.name} and {twin.name} are the same picture: keep one")
    key = hashlib.sha256("".join(f"{digest} {code}\n" for digest, code in zip(digests, dx, strict=True)).encode()).hexdigest()
    return generated.write(name, images, dx, label_source="prompt", generator=f"import:{key}")


def name_of(place):
    """Name of a collection after its folder.

    Examples
    --------
    >>> name_of(Path("My pictures (2)"))
    'my-pictures-2'
    """
    return re.sub(r"[^a-z0-9_-]+", "-", place.expanduser().resolve().name.lower()).strip("-")


def picture(file, content):
    """One imported picture, (SIDE, 4/3 SIDE, 3) uint8."""
    try:
        return pictures.decode(content, SIDE, crop=True, least=SMALLEST)
    except ValueError as error:
        raise ValueError(f"{file.name} cannot be imported ({error}): replace or remove it") from None


def classes_of(place, files, labels=None):
    """Classes of picture files, from a CSV, from sub-folders or from file names."""
    tables = [Path(labels)] if labels else sorted(place.glob("*.csv"))
    if len(tables) > 1:
        raise ValueError(f"{place.name}/ holds {len(tables)} CSV files: say which with --labels")
    said = from_table(tables[0], place, files) if tables else {}
    out = []
    for file in files:
        words = [said.get(file)] if tables else [file.parent.name, re.sub(r"\d+", "", file.stem), *re.split(r"[^A-Za-z]+", file.stem)]
        codes = sorted({code for code in map(code_of, words) if code})
        if len(codes) != 1:
            raise ValueError(f"{' and '.join(codes) or 'no class'} for {file.relative_to(place).as_posix()}: give one of {', '.join(CLASSES)} "
                             "in a CSV, or as sub-folder, or in the file name")
        out += codes
    return out


def from_table(table, place, files):
    """What a CSV says of each file, which it names by its path below the folder or by its name alone, with or without the suffix."""
    try:
        frame = pd.read_csv(table, dtype=str).rename(columns=str.lower)
    except (OSError, ValueError, pd.errors.ParserError):
        raise ValueError(f"{table.name} cannot be read as a CSV: give one with the columns file and dx") from None
    columns = [next((c for c in names if c in frame), None) for names in (("file", "filename", "image", "image_id"), ("dx", "class", "label"))]
    if None in columns:
        raise ValueError(f"{table.name} has the columns {', '.join(frame.columns)}: it needs file and dx")
    known = defaultdict(set)
    for file in files:
        path = file.relative_to(place)
        for name in (path, path.with_suffix(""), path.name, path.stem):
            known[str(name)].add(file)
    said = {}
    for name, dx in zip(frame[columns[0]].astype(str), frame[columns[1]], strict=True):
        found = known.get(str(Path(name)), ())
        if len(found) != 1:
            raise ValueError(f"{table.name} names {name}, which is {'more than one file' if found else 'not'} in the folder: correct the CSV")
        said |= dict.fromkeys(found, dx)
    return said


def code_of(word):
    """Class code of a code or a name in any spelling of spaces, or None.

    Examples
    --------
    >>> code_of("MEL"), code_of("Basal-cell_carcinoma"), code_of("photo")
    ('mel', 'bcc', None)
    """
    word = re.sub(r"[\s_-]+", " ", str(word)).strip().lower()
    names = {lesion.name: code for code, lesion in LESIONS.items()} | {code: code for code in CLASSES}
    return names.get(word)


@plainly()
def main(arguments=None):
    """``python -m helpers.data import FOLDER [--name NAME] [--labels CSV]``."""
    parser = argparse.ArgumentParser(prog="python -m helpers.data import", description="Import a folder of generated images.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", help="of the collection; the folder's where left out")
    parser.add_argument("--labels", type=Path, help="CSV with the columns file and dx")
    options = parser.parse_args(arguments)
    frame = collect(options.folder, name=options.name, labels=options.labels)
    counts = ", ".join(f"{code} {n}" for code, n in frame["dx"].value_counts().items())
    print(f"data/generated/{options.name or name_of(options.folder)}: {len(frame)} pictures ({counts}), their classes are prompts, not diagnoses")
