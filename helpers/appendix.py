"""Tables of the report's appendix that no notebook records: settings, versions, origin of the results, and all scores of notebook 03."""

import re
import tomllib
from dataclasses import fields

from helpers import metrics, presets, typeset


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
        ``about.settings``, ``about.versions``, ``about.records``, and ``03.scores`` and ``03.lesion_scores`` where notebook 03 has results.
    """
    out = {"about.settings": settings(preset), "about.versions": versions(root), "about.records": origin(records)}
    for stem, record in records.items():
        if stem.startswith("03"):
            out |= {"03.scores": scores(record["values"]), "03.lesion_scores": scores(record["values"], "lesion_")}
    return out


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
            seeds=", ".join(map(str, about["seeds"])) or "none", devices="; ".join(about["device"]) or "none",
            **{"prediction files": len(about["predictions_sha256"])}))
    return frame(rows)


def scores(values, level=""):
    """All headline scores of every model, with their intervals, as texts: a column has scores of several units.

    Parameters
    ----------
    values : dict
        Of notebook 03.
    level : str
        Empty for images, ``lesion_`` for lesions.

    Examples
    --------
    >>> one = dict(value=0.5, low=0.4, high=0.6, n=9)
    >>> table = scores({start + key: one for key in metrics.HEADLINE for start in ("", "rival.")})
    >>> table["columns"], table["rows"][0]
    (['score', 'network', 'rival'], ['accuracy (%)', '50.0 (40.0--60.0)', '50.0 (40.0--60.0)'])
    """
    models = [key.removesuffix(f"{level}accuracy") for key in values if re.fullmatch(rf"(\w+\.)?{level}accuracy", key)]
    rows = []
    for key in metrics.HEADLINE:
        name = typeset.words(key) + ("" if typeset.is_unitless(key) else " (%)")
        found = {model.rstrip(".") or "network": values.get(f"{model}{level}{key}") for model in models}
        rows.append({"score": name} | {model: typeset.show(key, value) for model, value in found.items()})
    return frame(rows)


def frame(rows):
    """Rows as a recorded table has them."""
    return dict(columns=list(rows[0]), rows=[list(row.values()) for row in rows])
