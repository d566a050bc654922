"""Tables of the report's appendix that no notebook records: settings, versions, origin of the results, and all scores of notebook 03."""

import re
import tomllib
from dataclasses import fields

from helpers import intervals, metrics, presets


def tables(preset, records, *, root):
    """Tables by name, of the shape that :func:`helpers.typeset.booktabs` prints.

    Parameters
    ----------
    preset : str
    records : dict
        Published records by notebook stem.
    root : Path
        The project, with its ``pyproject.toml`` and ``constraints.txt``.

    Returns
    -------
    dict
        ``about.settings``, ``about.versions``, ``about.records``, and ``03.scores`` where notebook 03 has results.
    """
    out = {"about.settings": settings(preset), "about.versions": versions(root), "about.records": origin(records)}
    return out | {f"{stem[:2]}.scores": scores(record["values"]) for stem, record in records.items() if stem.startswith("03")}


def settings(preset):
    """Every field of the frozen preset; an empty text is said to be none."""
    config = presets.configure(preset)
    return frame([{"field": field.name, "setting": str(getattr(config, field.name)) or "none"} for field in fields(config)])


def versions(root):
    """Versions that ``constraints.txt`` pins, of the packages that ``pyproject.toml`` asks for."""
    lines = [line.split("==") for line in (root / "constraints.txt").read_text().splitlines() if "==" in line]
    pins = {name.lower(): version.split(";")[0].strip() for name, version in lines}
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = sum(project.get("optional-dependencies", {}).values(), project["dependencies"])
    names = [re.match(r"[\w.-]+", line)[0].lower() for line in wanted]
    return frame([{"package": name, "version": pins.get(name, "not pinned")} for name in names])


def origin(records):
    """Where the results of each notebook come from, as they themselves recorded it."""
    rows = []
    for stem, record in records.items():
        about = record["provenance"]
        rows.append(dict(
            notebook=stem, commit=about["commit"], computed=about["created"][:10], split=about["split_sha256"][:12],
            seeds=", ".join(map(str, about["seeds"])), devices="; ".join(about["device"]) or "none",
            **{"prediction files": len(about["predictions_sha256"])}))
    return frame(rows)


def scores(values):
    """All headline scores of every model at both levels, with their intervals.

    Examples
    --------
    >>> one = dict(value=0.5, low=0.4, high=0.6, n=9)
    >>> table = scores({key: one for key in ("accuracy", *(f"rival.lesion_{key}" for key in metrics.HEADLINE))})
    >>> table["columns"][:4], [row[:4] for row in table["rows"]]
    (['model', 'level', 'n', 'accuracy'], [['rival', 'lesions', 9, 0.5]])
    """
    rows = []
    for start in [key.removesuffix("accuracy") for key in values if re.fullmatch(r"(\w+\.)?(lesion_)?accuracy", key)]:
        found = {key: values[start + key] for key in metrics.HEADLINE if start + key in values}
        if len(found) == len(metrics.HEADLINE):
            model, _, level = start.rpartition(".")
            names = dict(model=model or "network", level="lesions" if level else "images")
            rows.append(names | {"n": found["accuracy"]["n"]} | intervals.flat(found))
    return frame(rows)


def frame(rows):
    """Rows as a recorded table has them."""
    return dict(columns=list(rows[0]) if rows else [], rows=[list(row.values()) for row in rows])
