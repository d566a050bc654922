"""ImageNet weights kept in a local file, for machines without a network."""

import hashlib
import json
import os
from pathlib import Path


def local(backbone):
    """The weights file named by ``SKIN_WEIGHTS`` as ``(path, description)``, or None where the variable is unset.

    Raises
    ------
    FileNotFoundError, ValueError
        The file or its JSON is missing, or it belongs to another architecture.
    """
    if not os.environ.get("SKIN_WEIGHTS"):
        return None
    path = Path(os.environ["SKIN_WEIGHTS"]).expanduser()
    for file in (path, path.with_suffix(".json")):
        if not file.is_file():
            raise FileNotFoundError(f"SKIN_WEIGHTS needs {file.name}, which is not there: correct the path or unset SKIN_WEIGHTS")
    about = json.loads(path.with_suffix(".json").read_text())
    if about["model"] != backbone:
        raise ValueError(f"{path.name} holds weights of {about['model']}, not of {backbone}: name another file in SKIN_WEIGHTS or unset it")
    return path, about


def sha256(config):
    """Sha256 of the local ImageNet weights; None where a run would have to fetch them, ``random`` where it needs none."""
    if config.weights == "random":
        return "random"
    file = local(config.backbone)
    return hashlib.sha256(file[0].read_bytes()).hexdigest() if file else None
