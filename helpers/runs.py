"""Finished runs: their keys, their predictions, and where both are kept."""

import gzip
import hashlib
import io
import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import data, generated, paths, presets, splits, weights
from helpers.cache import locked
from helpers.lesions import PROBABILITIES

# Raise by hand when the mathematics of training changes: finished runs then count as stale.
RECIPE = 1
COLUMNS = ("image_id", "group", "role", "dx", *PROBABILITIES)


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    config : TrainConfig
    key : dict
        What decided the run: settings, recipe and the sha256 of split, data and weights.
    predictions : DataFrame
        ``image_id, group, role, dx, p_<class>`` for select, calibrate and test; probabilities in [0, 1].
    history : DataFrame
        One row per epoch: losses, learning rate, seconds, scores on the select role.
    device : str
    file : Path
        Where the predictions were read from.
    """

    config: presets.TrainConfig
    key: dict
    predictions: pd.DataFrame
    history: pd.DataFrame
    device: str
    file: Path

    def role(self, name):
        """Predictions of one role as ``(frame, y, p)``: y (n,) class indices, p (n, 7) probabilities."""
        part = self.predictions[self.predictions["role"] == name].reset_index(drop=True)
        y = part["dx"].map({c.removeprefix("p_"): i for i, c in enumerate(PROBABILITIES)}).to_numpy()
        return part, y, part[list(PROBABILITIES)].to_numpy()


def folder(config):
    """Ignored folder in which a run is trained; an arm that is another one under a new name shares its folder."""
    return paths.RUNS / config.preset / twin(config).name


def twin(config):
    """The configuration under whose name a run is trained: its own, but for ``presets.TWINS``."""
    return replace(config, arm=presets.TWINS.get(config.arm, config.arm))


def published_file(config):
    """Committed predictions of a run; the sidecar has the suffix ``.json`` instead of ``.csv.gz``."""
    return paths.PREDICTIONS / config.preset / f"{config.name}.csv.gz"


def same_key(saved, wanted):
    """Whether a finished run may stand for a wanted one; None in either (data, weights or generated images absent) is taken on trust."""
    return set(saved) == set(wanted) and all(
        saved[part] == wanted[part] or (part in ("data", "weights", "generated") and None in (saved[part], wanted[part])) for part in saved
    )


def differing(saved, wanted):
    """Names of the parts in which two keys differ."""
    return [part for part in wanted if not same_key({part: saved.get(part)}, {part: wanted[part]})]


def save(file, *, config, key, predictions, history, device, started_from):
    """Write predictions (5 decimals) and their sidecar; the sidecar comes last and makes the run count as finished."""
    table = predictions[list(COLUMNS)].copy()
    table[list(PROBABILITIES)] = table[list(PROBABILITIES)].astype(float).round(5)
    text = table.to_csv(index=False, float_format="%.5f", lineterminator="\n").encode()
    paths.write(file, gzip.compress(text, mtime=0))
    sidecar = dict(config=asdict(config), key=key, device=device, weights=started_from, predictions_sha256=hashlib.sha256(text).hexdigest(),
                   history=json.loads(history.to_json(orient="records", double_precision=6)))
    paths.write(sidecar_file(file), json.dumps(sidecar, indent=1) + "\n")


def sidecar_file(file):
    """Path of the JSON beside a predictions file."""
    return file.with_name(file.name.removesuffix(".csv.gz") + ".json")


def load(file, config):
    """Read a finished run, or None where there is none.

    Raises
    ------
    ValueError
        Predictions that are not the ones their sidecar describes.
    """
    if not (file.is_file() and sidecar_file(file).is_file()):
        return None
    about = json.loads(sidecar_file(file).read_text())
    text = gzip.decompress(file.read_bytes())
    if hashlib.sha256(text).hexdigest() != about["predictions_sha256"]:
        raise ValueError(f"{paths.relative(file)} is not the file its sidecar describes: restore it with git, or delete both to train again")
    predictions = pd.read_csv(io.BytesIO(text), dtype={"image_id": str, "group": str})
    return Run(config, about["key"], predictions, pd.DataFrame(about["history"]), about["device"], file)


def key(config):
    """What decides a run: settings, recipe, and the content of split, data, weights and generated images (None where absent)."""
    own = dict(settings=config.settings(), recipe=RECIPE, split=splits.sha256(config.source), data=content(config.source),
               weights=weights.sha256(config))
    if config.painter:
        own["generator"] = config.painter.recipe()
    return own | ({"generated": generated.sha256(config.collection)} if config.generated else {})


def content(source):
    """Sha256 of the data of a source, None where they are absent."""
    try:
        return data.fingerprint(source)
    except FileNotFoundError:
        return None


def once(config, wanted, found, make):
    """What ``found()`` gives; where that is None, what ``make(home)`` makes in the run's folder, in one process at a time.

    Parameters
    ----------
    config : TrainConfig or GeneratorConfig
    wanted : dict
        The key; a run with another one is set aside.
    found, make : callable

    Raises
    ------
    BlockingIOError
        Another process is making the same.
    """
    home = folder(config)
    with locked(home, busy=f"another process is training {config.preset}/{config.name}: wait for it to finish, or stop it"):
        if (done := found()) is None:
            set_aside(home, wanted)
            done = make(home)
        return done


def set_aside(home, wanted):
    """Move a run with another key out of the way, and mark the folder with the wanted key; nothing is deleted."""
    mark = home / "key.json"
    saved = json.loads(mark.read_text()) if mark.is_file() else None
    if saved and not same_key(saved, wanted):
        old = next(p for p in (home.with_name(f"{home.name}.old{i}") for i in range(1000)) if not p.exists())
        print(f"{paths.relative(home)} holds a run with another {' and '.join(differing(saved, wanted))}: kept as {old.name}, training anew.")
        shutil.move(home, old)
    paths.write(mark, json.dumps(wanted))


def finished(config, *, published=False):
    """The run, if it is published or (unless only ``published`` ones count) was trained here with the same key; else None."""
    wanted = key(config)
    here = [] if published else [folder(config) / "predictions.csv.gz"]
    for file in dict.fromkeys([published_file(config), published_file(twin(config)), *here]):
        run = load(file, config)
        if run and same_key(run.key, wanted):
            return run
    return None


def weights_file(config):
    """The trained weights of a run, which are never published; None where they are absent or belong to another key."""
    home = folder(config)
    file, mark = home / "weights.pt", home / "key.json"
    here = file.is_file() and mark.is_file() and sidecar_file(home / "predictions.csv.gz").is_file()
    return file if here and same_key(json.loads(mark.read_text()), key(config)) else None


def publish(run):
    """Copy a finished run to ``data/predictions/<preset>``, to be committed."""
    target = published_file(run.config)
    for source, copy in ((run.file, target), (sidecar_file(run.file), sidecar_file(target))):
        if source != copy:
            paths.write(copy, source.read_bytes())
    return target


def stack(runs, role):
    """Stack several seeds of one arm: ``(frame, y, p)`` with p (s, n, 7).

    Raises
    ------
    ValueError
        The runs do not share their images.
    """
    frame, y, _ = runs[0].role(role)
    parts = [run.role(role) for run in runs]
    if any(not part[0]["image_id"].equals(frame["image_id"]) for part in parts):
        raise ValueError("these runs predict different images: compare runs of one fold and one split")
    return frame, y, np.stack([part[2] for part in parts])
