"""How many leaks of the leakage lab are mended: ``python -m helpers.lab pipeline.py``.

A leak is a dependence that should not be there. So the checker runs a pipeline, changes what must not matter, runs it again, and
looks whether anything followed. It counts; where the leaks are is for the student to find.
"""

import argparse
import importlib.util
from pathlib import Path

import numpy as np

from helpers import data, paths

LEAKS = 6
LESIONS = 400


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m helpers.lab", description="Count the leaks of a pipeline that are mended.")
    parser.add_argument("pipeline", type=Path, nargs="?", default=paths.ROOT / "notebooks" / "leakage_lab" / "pipeline.py")
    file = parser.parse_args(arguments).pipeline
    if not file.is_file():
        parser.error(f"{file} is not there: name your copy of pipeline.py")
    mended, score = check(file)
    print(f"{mended} of {LEAKS} leaks are mended; balanced accuracy on test: {score:.3f}")


def check(file):
    """Number of mended leaks, and the score that the pipeline reports.

    Parameters
    ----------
    file : Path
        A Python file with the function ``run`` of the lab.

    Returns
    -------
    mended : int
        In 0-6.
    score : float
        Balanced accuracy on test in [0, 1].

    Raises
    ------
    ValueError
        A file without ``run``, or one whose ``run`` returns something else than the lab asks for.
    """
    run = load(file)
    frame, images = cases()
    first = run(frame.copy(), images.copy())
    complain(first, frame)
    if not np.array_equal(first["p"], run(frame.copy(), images.copy())["p"]):
        raise ValueError("run must give the same result twice: seed whatever is random")
    return sum(bool(holds) for holds in verdicts(run, first, frame, images)), float(first["score"])


def load(file):
    """The function ``run`` of a Python file."""
    about = importlib.util.spec_from_file_location("pipeline", file)
    if about is None or not Path(file).is_file():
        raise ValueError(f"no Python file {file}: name the pipeline of the lab")
    module = importlib.util.module_from_spec(about)
    about.loader.exec_module(module)
    if not callable(getattr(module, "run", None)):
        raise ValueError(f"{Path(file).name} has no function run: keep the one of the lab and change what it does")
    return module.run


def cases():
    """Metadata and thumbnails (n, 12, 16, 3) in [0, 1] of some generated lesions, siblings included."""
    frame = data.load_metadata("phantom")
    chosen = frame["lesion_id"].isin(frame["lesion_id"].drop_duplicates().iloc[:LESIONS]).to_numpy()
    images = np.asarray(data.load_images("phantom", 72)[chosen])[:, ::6, ::6] / 255
    return frame[chosen].reset_index(drop=True), images


def complain(record, frame):
    """ValueError where a record lacks what the checks need: an emptied pipeline has no leaks either."""
    missing = {"train_ids", "test_ids", "mean", "generated", "p", "threshold", "score"} - set(record)
    if missing:
        raise ValueError(f"run must also return {', '.join(sorted(missing))}")
    trained, tested = set(record["train_ids"]), set(record["test_ids"])
    if len(trained) < 0.4 * len(frame) or len(tested) < 0.1 * len(frame):
        raise ValueError("run must train on at least 40 % of the images and test on at least 10 % of them")
    if len(record["p"]) != len(record["test_ids"]) or np.ptp(record["p"]) == 0 or len(record["generated"]) == 0 or np.std(record["mean"]) == 0:
        raise ValueError("run must still subtract a mean, invent melanomas and return one probability per tested row")


def verdicts(run, first, frame, images):
    """Whether each of the six mends holds."""
    tested = frame["image_id"].isin(first["test_ids"]).to_numpy()
    lesions = [set(frame.loc[frame["image_id"].isin(first[name]), "lesion_id"]) for name in ("train_ids", "test_ids")]
    yield not lesions[0] & lesions[1]
    yield len(set(first["test_ids"])) == len(first["test_ids"]) and not set(first["train_ids"]) & set(first["test_ids"])

    other = images.copy()
    other[tested] = other[tested][::-1, ::-1] ** 2
    second = run(frame.copy(), other)
    for name in ("mean", "generated", "threshold"):
        yield np.array_equal(first[name], second[name])

    shuffled = frame.assign(dx_type=np.roll(frame["dx_type"].to_numpy(), 7))
    yield np.array_equal(first["p"], run(shuffled, images.copy())["p"])


if __name__ == "__main__":
    main()
