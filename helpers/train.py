"""Training that knows by itself whether to start, to resume or to do nothing: ``fit(config)``."""

import argparse
import json
import os

import numpy as np
import pandas as pd
import torch

from helpers import cvae, data, generated, losses, models, opponents, paths, presets, runs, shortcut, splits
from helpers.commands import plainly
from helpers.learner import Learner, completed, prepare
from helpers.lesions import CLASSES, MEL, PROBABILITIES


def fit(config, *, stop_after=None, weights=False):
    """Train a configuration, or resume it, or load it where it is finished.

    Parameters
    ----------
    config : TrainConfig
    stop_after : int, optional
        Leave after this many epochs of the planned ones, as an interruption would (for tests).
    weights : bool
        Train also where the predictions are published but the weights are not here.

    Returns
    -------
    Run
        With the predictions for select, calibrate and test; None when ``stop_after`` left it unfinished.

    Raises
    ------
    BlockingIOError
        Another process is training the same run.
    FileNotFoundError, ValueError
        Data, split or weights that are absent or wrong, before training starts.
    """
    def finished():
        return runs.finished(config) if not weights or runs.weights_file(config) else None

    if run := finished():
        return run
    if config.generated:
        cvae.provide(config)
    wanted = runs.key(config)
    return runs.once(config, wanted, finished, lambda home: train(config, home, wanted, stop_after))


def training_rows(frame, *, leak=False, seed=0):
    """Rows to train on; with ``leak``, siblings of test images take the place of as many train images of their class.

    Every test group keeps its first image as a probe, so that both kinds of training are judged on the same probes.
    """
    rows = np.flatnonzero(frame["role"] == "train")
    if not leak:
        return rows
    test = frame[frame["role"] == "test"]
    siblings = test[test.duplicated("group")]
    generator, out = np.random.default_rng(seed), set()
    for dx, n in siblings["dx"].value_counts().sort_index().items():
        same = rows[(frame["dx"].to_numpy()[rows] == dx)]
        out.update(generator.choice(same, size=n, replace=False))
    return np.sort(np.concatenate([[r for r in rows if r not in out], siblings.index])).astype(int)


def train(config, home, wanted, stop_after):
    """One training, from its last checkpoint where there is one."""
    frame = splits.table(config)
    rows = training_rows(frame, leak=config.leak, seed=config.seed)
    if config.backbone in opponents.BACKBONES:
        return write(config, home, wanted, frame, opponents.probabilities(config, frame, rows), device="cpu", started_from="none")
    learner = make_learner(config, frame, rows)
    if not completed(learner, home, stop_after=stop_after, monitor="choice"):
        return None
    keep_best_weights(home)
    out = predict_all(config, learner, home, frame)
    run = write(config, home, wanted, frame, out, device=describe(learner.trainer.strategy.root_device),
                started_from=learner.classifier.weights, history=pd.DataFrame(learner.history))
    for name in ("last.ckpt", "best.ckpt"):
        (home / name).unlink(missing_ok=True)
    return run


def make_learner(config, frame, rows):
    """The Lightning module of a configuration, seeded, with its data and its loss."""
    target = frame["dx"].map(CLASSES.index).to_numpy()
    drawn = len(rows)
    images, target, rows = generated.join(config, load_images(config), target, rows)
    counts = np.bincount(target[rows], minlength=len(CLASSES))
    weights = losses.class_weights(counts, kind=config.class_weight, mel=MEL, mel_weight=config.mel_weight)
    loss = losses.loss_function(config.loss, counts=counts, weights=weights, label_smoothing=config.label_smoothing)
    prepare(config)
    classifier = models.create(config)
    select = np.flatnonzero(frame["role"] == "select")
    return Learner(config, classifier, images, target, train_rows=rows, select_rows=select, loss=loss, drawn=drawn)


def load_images(config):
    """The images that a configuration trains on: the source's own, or those with its shortcut planted."""
    if config.shortcut:
        return shortcut.load_images(config.source, config.cache_size, config.shortcut)
    return data.load_images(config.source, config.cache_size)


def describe(device):
    """Name of a device for the records."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def keep_best_weights(home):
    """Write the network of the best epoch as ``weights.pt``."""
    state = torch.load(home / "best.ckpt", map_location="cpu", weights_only=True)["state_dict"]
    torch.save({k.removeprefix("network."): v for k, v in state.items() if k.startswith("network.")}, home / "weights.part")
    os.replace(home / "weights.part", home / "weights.pt")


def predict_all(config, learner, home, frame):
    """(n, 7) probabilities of the best epoch; rows of the train role stay nan."""
    classifier = load_weights(learner.classifier, home).ready()
    rows = np.flatnonzero(frame["role"] != "train")
    logits = models.predict(classifier, load_images(config), rows, size=config.image_size)
    out = np.full((len(frame), len(CLASSES)), np.nan)
    out[rows] = torch.from_numpy(logits).double().softmax(1).numpy()
    return out


def write(config, home, wanted, frame, probabilities, *, device, started_from, history=None):
    """Write the predictions for select, calibrate and test, and read the run back."""
    history = pd.DataFrame() if history is None else history
    predictions = frame[["image_id", "group", "role", "dx"]].copy()
    predictions[list(PROBABILITIES)] = probabilities
    predictions = predictions[predictions["role"] != "train"]
    history.to_csv(home / "history.csv", index=False)
    file = home / "predictions.csv.gz"
    runs.save(file, config=config, key=wanted, predictions=predictions, history=history, device=device, started_from=started_from)
    return runs.load(file, config)


def load_weights(classifier, home):
    """Put the weights of a finished run into a classifier."""
    classifier.network.load_state_dict(torch.load(home / "weights.pt", map_location="cpu", weights_only=True))
    return classifier


def trained(config):
    """The classifier of a run trained here, with its weights.

    Raises
    ------
    FileNotFoundError, ValueError
        Its weights are not here (published predictions come without them), or it started from others.
    """
    home = runs.folder(config)
    if runs.weights_file(config) is None:
        raise FileNotFoundError(f"the weights of {config.preset}/{config.name} are not here: copy {paths.relative(home)} from where it was trained, "
                                "or train it here with train.fit(config, weights=True)")
    classifier = models.create(config)
    start = json.loads(runs.sidecar_file(home / "predictions.csv.gz").read_text())["weights"]
    if classifier.weights != start:
        # Padding and normalisation of the inputs come with the initial weights.
        raise ValueError(f"{config.name} was trained from weights {start[:12]}, which are not here: set SKIN_WEIGHTS to that file")
    return load_weights(classifier, home).ready()


def penultimate(config):
    """As :func:`trained`, but without the last layer: what it gives are features."""
    classifier = trained(config)
    classifier.network.reset_classifier(0)
    return classifier


@plainly()
def main(arguments=None):
    """``python -m helpers.train course --arms baseline focal --seeds 0 1``: train what is missing, one run after another."""
    parser = argparse.ArgumentParser(prog="python -m helpers.train", description="Train the missing runs of a preset.")
    parser.add_argument("preset", choices=list(presets.PRESETS))
    parser.add_argument("--arms", nargs="+", default=["baseline"], choices=list(presets.ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, help="the preset's own where left out")
    parser.add_argument("--folds", nargs="+", type=int, default=[0])
    parser.add_argument("--publish", action="store_true", help="copy predictions to data/predictions")
    options = parser.parse_args(arguments)
    for arm in options.arms:
        for seed in options.seeds or presets.seeds(options.preset, arm):
            for fold in options.folds:
                run = fit(presets.configure(options.preset, arm, seed=seed, fold=fold))
                print(f"{run.config.name}: {paths.relative(runs.publish(run) if options.publish else run.file)}")


if __name__ == "__main__":
    main()
