"""How long `make report` takes on generated data, and how much memory all its processes hold together."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from helpers import paths


def measure():
    """Run ``make report`` twice in a fresh clone that borrows this environment.

    Returns
    -------
    list of dict
        ``quick_seconds`` with the goal of 180 s as reference, ``quick_peak_mb`` (goal 3,000 MB: the sum over processes of memory
        that they do not share) and ``quick_again_seconds`` (goal 10 s). Ratio is goal over value: above 1 is good.
    """
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "project"
        subprocess.run(["git", "clone", "-q", paths.ROOT, clone], check=True)
        (clone / ".venv").symlink_to(paths.ROOT / ".venv")
        environment = {k: v for k, v in os.environ.items() if k not in ("HAM10000_DIR", "SKIN_WEIGHTS")} | {"PYTHONPATH": str(clone)}
        first, peak = timed(clone, environment)
        again, _ = timed(clone, environment)
    goals = (("quick_seconds", first, "s", 180), ("quick_peak_mb", peak, "MB", 3000), ("quick_again_seconds", again, "s", 10))
    return [dict(name=name, value=value, unit=unit, reference=goal, ratio=goal / value) for name, value, unit, goal in goals]


def timed(clone, environment):
    """Seconds and peak memory in MB of one ``make report``."""
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen(["make", "-o", ".venv/ready", "report"], cwd=clone, env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, held(psutil.Process(process.pid)))
        time.sleep(0.5)
    if process.returncode:
        raise RuntimeError("make report failed: run it by hand to see why")
    return time.perf_counter() - start, peak / 1e6


def held(parent):
    """Bytes that a process and its children hold, shared pages counted once."""
    total = 0
    for process in [parent, *parent.children(recursive=True)]:
        try:
            memory = process.memory_full_info()
            total += getattr(memory, "pss", memory.uss)
        except psutil.Error:
            continue
    return total
