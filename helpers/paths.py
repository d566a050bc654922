"""Where things are, from whichever folder a notebook or a command is run."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
SPLITS = DATA / "splits"
PREDICTIONS = DATA / "predictions"
CACHE = DATA / "cache"
RUNS = DATA / "runs"
GENERATED = DATA / "generated"
FIGURES = ROOT / "figures"
REPORT = ROOT / "report"
RESULTS = REPORT / "results"
LOCAL = REPORT / "local"


def ham10000_dir():
    """Folder that holds HAM10000: ``HAM10000_DIR``, or ``data/raw/ham10000``."""
    return Path(os.environ.get("HAM10000_DIR") or DATA / "raw" / "ham10000").expanduser()


def relative(path):
    """A path as written into results: relative to the project where it lies inside it.

    Examples
    --------
    >>> relative(DATA / "splits" / "phantom.csv")
    'data/splits/phantom.csv'
    """
    path = Path(path)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def write(file, content):
    """Write text or bytes under a temporary name and rename, so that no reader ever sees half a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(temporary, file)
