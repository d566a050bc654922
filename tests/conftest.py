"""Shared pieces of the tests: a small phantom collection in a project of its own, one thread, no progress bars."""

import os

os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import hypothesis
import pytest

from helpers import data, paths, phantom, splits

# A busy machine is no failure: no test is timed.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture
def small_project(tmp_path, monkeypatch):
    """A project folder of its own with a phantom of about 240 images and its split; nothing of the real one is touched."""
    for name in ("SPLITS", "PREDICTIONS", "CACHE", "RUNS", "GENERATED"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    small = phantom.metadata(120)
    monkeypatch.setattr(phantom, "metadata", lambda n=120, **_: small.copy())
    frame = data.load_metadata("phantom")
    splits.write("phantom", splits.make(frame, splits.pairs("phantom")), frame)
    return tmp_path
