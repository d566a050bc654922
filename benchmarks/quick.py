"""How long `make report` takes on generated data, and how much memory all its processes hold together."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from helpers import paths

EVERY = 1  # second between looks at the memory


FIRST = [f"report/results/quick/{name}.json" for name in ("01_eda", "02_dedup_split", "03_baseline")]


def measure():
    """Run the notebooks in a fresh clone that borrows this environment: first 01-03, then what is left of ``make report``, then that again.

    Returns
    -------
    list of dict
        ``quick_01_03_seconds`` (goal 180 s), ``quick_seconds`` for everything (goal 720 s), ``quick_peak_mb`` (goal 3,000 MB: the sum over
        processes of memory that they do not share) and ``quick_again_seconds`` (goal 10 s). The goal is the reference; ratio is goal over value.
    """
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "project"
        subprocess.run(["git", "clone", "-q", paths.ROOT, clone], check=True)
        (clone / ".venv").symlink_to(paths.ROOT / ".venv")
        snakemake = ["snakemake", "--cores", "2", "--quiet", "all", "--nolock", "--config", "preset=quick", "--"]
        three, peak = timed(clone, [*snakemake, *FIRST])
        rest, later = timed(clone, ["make", "-o", ".venv/ready", "report"])
        again, _ = timed(clone, ["make", "-o", ".venv/ready", "report"])
    rows = [("quick_01_03_seconds", three, "s", 180), ("quick_seconds", three + rest, "s", 720), ("quick_peak_mb", max(peak, later), "MB", 3000),
            ("quick_again_seconds", again, "s", 10)]
    return [dict(name=name, value=value, unit=unit, reference=goal, ratio=goal / value) for name, value, unit, goal in rows]


def timed(clone, command):
    """Seconds and peak memory in MB of a command in the clone."""
    environment = {k: v for k, v in os.environ.items() if k not in ("HAM10000_DIR", "SKIN_WEIGHTS")}
    environment |= {"PYTHONPATH": str(clone), "PATH": f"{paths.ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"}
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen(command, cwd=clone, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, held(psutil.Process(process.pid)))
        time.sleep(EVERY)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: run it by hand to see why")
    return time.perf_counter() - start, peak / 1e6


def held(parent):
    """Bytes that a process and its children hold, files and other shared pages left out."""
    total = 0
    for process in [parent, *parent.children(recursive=True)]:
        try:
            memory = process.memory_info()
            total += memory.rss - getattr(memory, "shared", 0)
        except psutil.Error:
            continue
    return total
