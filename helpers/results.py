"""Values, tables and figures of a notebook, written where the report finds them, with their provenance."""

import datetime
import hashlib
import json
import math
import os
import platform
import subprocess
from importlib.metadata import version

import numpy as np
import pandas as pd

from helpers import paths, presets

PUBLISH = "SKIN_PUBLISH"
INTERVAL = ("value", "low", "high", "n")
WRITTEN = (":!figures", ":!report/results", ":!data/predictions", ":!benchmarks/results.json")  # git: all but what runs write
# Left out of figure files, so that the same numbers give the same bytes.
UNDATED = {"pdf": {"CreationDate": None, "Producer": None, "Creator": None}, "png": {"Software": None}}


def open(notebook, *, preset, config=None, seeds=None):
    """Start the record of a notebook and print what it will say about its origin.

    Results are published only when ``SKIN_PUBLISH=1`` and config and seeds are the frozen preset's;
    otherwise they go to the ignored ``report/local``, so that trying things out never overwrites anything.

    Parameters
    ----------
    notebook : str
        Stem of the notebook's file, such as ``03_baseline``.
    preset : str
        Key of ``presets.PRESETS``.
    config : TrainConfig, optional
        What was run; the preset's own where left out.
    seeds : sequence of int, optional
        The preset's where left out.

    Returns
    -------
    Book

    Raises
    ------
    ValueError
        An unknown preset.
    """
    config = config or presets.configure(preset)
    seeds = tuple(presets.SEEDS[preset] if seeds is None else seeds)
    frozen = config == presets.configure(preset) and seeds == presets.SEEDS[preset]
    book = Book(notebook, preset, config, seeds, publishing=frozen and os.environ.get(PUBLISH) == "1")
    where = "published results" if book.publishing else "report/local, published results stay untouched"
    versions = [f"{name} {version(name)}" for name in ("torch", "timm", "numpy", "pandas")]
    print(f"{notebook} · preset {preset} · source {config.source} · split {book.split_sha256[:8]} · commit {commit()}")
    print(" · ".join([f"python {platform.python_version()}", *versions, f"writes to {where}"]))
    return book


def commit():
    """Short id of the commit, with a plus sign where anything but what runs write was changed; ``unknown`` outside git."""
    try:
        name, changed = git("rev-parse", "--short", "HEAD"), git("status", "--porcelain", "--untracked-files=no", "--", ".", *WRITTEN)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name + ("+" if changed else "")


def git(*call):
    """What a git command about the project says."""
    return subprocess.run(["git", "-C", str(paths.ROOT), *call], capture_output=True, text=True, check=True).stdout.strip()


def sha256(path):
    """Sha256 of a file (relative paths start at the project), or None where it is absent.

    Examples
    --------
    >>> sha256("data/splits/no_such_source.csv") is None
    True
    """
    path = paths.ROOT / path
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def read(preset, notebook):
    """A published record: ``{"provenance", "figures", "values", "tables"}``.

    Raises
    ------
    FileNotFoundError
        It was not made yet.
    """
    file = paths.RESULTS / preset / f"{notebook}.json"
    if not file.is_file():
        raise FileNotFoundError(f"{paths.relative(file)} is not there: run notebook {notebook} with PRESET={preset} first")
    return json.loads(file.read_text())


class Book:
    """The record of one notebook: ``record``, ``table`` and ``figure`` fill it, ``save`` writes it."""

    def __init__(self, notebook, preset, config, seeds, *, publishing):
        self.notebook, self.preset, self.config, self.seeds, self.publishing = notebook, preset, config, seeds, publishing
        self.split_sha256 = sha256(f"data/splits/{config.source}.csv") or "none"
        self.values, self.tables, self.figures, self.runs, self.old = {}, {}, {}, [], {}

    def record(self, values, prefix=""):
        """Add values as they are; only the report rounds.

        Parameters
        ----------
        values : dict
            Name to a number, or to a dict with at least ``value, low, high, n``. Fractions in [0, 1], never per cent.
        prefix : str
            Put in front of every name, with a dot.

        Raises
        ------
        TypeError, ValueError
            A value that is no number, or an interval that lacks a part.
        """
        for name, value in values.items():
            key = f"{prefix}.{name}" if prefix else name
            lacking = [part for part in INTERVAL if part not in value] if isinstance(value, dict) else []
            if lacking:
                raise ValueError(f"{key} lacks {', '.join(lacking)}: an interval has {', '.join(INTERVAL)}")
            self.values[key] = plain(value, key)

    def table(self, name, frame, *, source=None):
        """Add a table; its index is dropped, so that whatever should be shown must be a column.

        Parameters
        ----------
        name : str
        frame : DataFrame
            Texts and numbers; the interval of column x in ``x_low`` and ``x_high``.
        source : str, optional
            Where its rows come from; the preset's data where left out.
        """
        rows = [[cell if isinstance(cell, str) else plain(cell, column) for column, cell in zip(frame.columns, row, strict=True)]
                for row in frame.itertuples(index=False)]
        self.tables[name] = {"source": source or self.config.source, "columns": list(frame.columns), "rows": rows}

    def kept(self, name):
        """A table of the published record, for what cannot be computed here; empty where there is none, or where it is of another split."""
        record = self.published()
        if name not in record["tables"]:
            return pd.DataFrame()
        self.old[name] = origin(record, name)
        return pd.DataFrame(record["tables"][name]["rows"], columns=record["tables"][name]["columns"])

    def keep(self, *prefixes):
        """Record published values again, those with these prefixes, for what cannot be computed here; none of another split."""
        record = self.published()
        again = {key: value for key, value in record["values"].items() if key.split(".")[0] in prefixes}
        self.values |= again
        self.old |= {name: origin(record, name) for name in {key.split(".")[0] for key in again}}

    def published(self):
        """The published record of this notebook and preset; an empty one where there is none, or where it is of another split."""
        try:
            record = read(self.preset, self.notebook)
        except FileNotFoundError:
            return dict(values={}, tables={})
        if record["provenance"]["split_sha256"] == self.split_sha256:
            return record
        print(f"The published results of {self.notebook} are of another split: nothing of them is kept.")
        return dict(values={}, tables={})

    def used(self, runs):
        """Remember the runs (:class:`helpers.runs.Run`) that the numbers were computed from."""
        self.runs += list(runs)

    def figure(self, fig, name, *, lesions=False):
        """Save a figure as PDF and PNG without dates; pictures of real lesions go to the ignored ``figures/local``.

        Parameters
        ----------
        fig : matplotlib Figure
        name : str
            The files are ``figures/<preset>/<notebook>_<name>.pdf`` and ``.png``.
        lesions : bool
            The figure shows lesions.
        """
        folder = paths.FIGURES / self.preset
        if lesions and self.config.source != "phantom":
            folder = paths.FIGURES / "local" / self.preset
        if not self.publishing:
            folder = paths.FIGURES / "local"
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, metadata in UNDATED.items():
            file = folder / f"{self.notebook}_{name}.{suffix}"
            fig.savefig(file, metadata=metadata, dpi=150)
            if self.publishing:
                self.figures[paths.relative(file)] = sha256(file)

    def save(self):
        """Write the record as JSON, whole or not at all, and say where."""
        file = paths.RESULTS / self.preset / f"{self.notebook}.json" if self.publishing else paths.LOCAL / f"{self.notebook}.json"
        record = dict(provenance=self.provenance(), figures=self.figures, values=self.values, tables=self.tables)
        paths.write(file, json.dumps(record, indent=1, allow_nan=False) + "\n")
        counts = f"{len(self.values)} values, {len(self.tables)} tables and {len(self.figures)} published figure files"
        print(f"{counts} -> {paths.relative(file)}")

    def provenance(self):
        """Where the numbers come from: files and seeds of the runs used.

        ``kept`` tells commit and date of the tables and values (by prefix) that were not computed anew.
        """
        return dict(
            preset=self.preset, source=self.config.source, split_sha256=self.split_sha256,
            predictions_sha256={paths.relative(run.file): sha256(run.file) for run in self.runs},
            weights_sha256=sorted({str(run.key["weights"]) for run in self.runs}), commit=commit(),
            device=sorted({run.device for run in self.runs}), seeds=sorted({run.config.seed for run in self.runs}),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), kept=dict(sorted(self.old.items())),
        )


def origin(record, name):
    """Commit and date of a table, or of the values with a prefix, in a record that may itself have kept them.

    Examples
    --------
    >>> about = dict(commit="b", created="today", kept=dict(quality=dict(commit="a", created="yesterday")))
    >>> origin(dict(provenance=about), "quality"), origin(dict(provenance=about), "sweep")
    ({'commit': 'a', 'created': 'yesterday'}, {'commit': 'b', 'created': 'today'})
    """
    about = record["provenance"]
    return about.get("kept", {}).get(name) or {part: about[part] for part in ("commit", "created")}


def plain(value, key):
    """A number, or a dict of numbers, as JSON knows them; nan becomes None.

    Examples
    --------
    >>> plain({"value": np.float32(0.5), "n": np.int64(3), "low": float("nan")}, "accuracy")
    {'value': 0.5, 'n': 3, 'low': None}
    """
    if isinstance(value, dict):
        return {name: plain(number, key) for name, number in value.items()}
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        raise TypeError(f"{key} must be a number, got {type(value).__name__}: record texts as a table")
    value = value.item() if isinstance(value, np.number) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
