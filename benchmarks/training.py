"""What `fit` costs beside the mere network, and what it saves beside the recipe of a first tutorial."""

import os
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from unittest import mock

import cv2
import lightning as L
import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from helpers import data, losses, models, paths, phantom, presets, splits, train
from helpers.augment import view
from helpers.learner import make_trainer
from helpers.lesions import CLASSES

JPEGS, EPOCHS, PLAIN_EPOCHS = 300, 12, 2
RAW = (600, 450)  # width and height of HAM10000's own pictures


def measure():
    """Training speed in images a second.

    Returns
    -------
    list of dict
        ``train_vs_memory``: the course network on phantoms, against the same network, loss and optimiser on tensors that are already in memory.
        ``train_vs_plain``: the quick network for 12 epochs on 600x450 JPEGs, decoding included, against PIL, torchvision and a DataLoader.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        # Caches, splits and runs of the measurement live in a folder of their own.
        for name in ("CACHE", "SPLITS", "RUNS", "PREDICTIONS"):
            stack.enter_context(mock.patch.object(paths, name, Path(folder) / name.lower()))
        stack.enter_context(mock.patch.dict(os.environ, HAM10000_DIR=str(Path(folder) / "raw")))
        return [against_memory(Path(folder)), against_plain(Path(folder))]


class Watch(L.Callback):
    """Seconds and images of every training epoch, validation left out."""

    def __init__(self):
        self.epochs = []

    def on_train_epoch_start(self, trainer, learner):
        self.start = time.perf_counter()

    def on_train_batch_end(self, trainer, learner, outputs, batch, batch_idx):
        self.seconds = time.perf_counter() - self.start

    def on_validation_start(self, trainer, learner):
        self.epochs.append((self.seconds, trainer.num_training_batches * learner.config.batch_size))


def ours(config, folder):
    """Train with our learner; the (seconds, images) of every epoch."""
    frame = splits.table(config)
    learner = train.make_learner(config, frame, train.training_rows(frame))
    trainer, watch = make_trainer(config, folder / config.name, config.epochs), Watch()
    trainer.callbacks.insert(0, watch)
    trainer.fit(learner)
    return watch.epochs


def against_memory(folder):
    frame = data.load_metadata("phantom")
    splits.write("phantom", splits.make(frame, splits.pairs("phantom")), frame)
    config = replace(presets.configure("course"), arm="memory", source="phantom", weights="random", epochs=3)
    before = in_memory(config)
    seconds, images = ours(config, folder)[-1]
    return row("train_vs_memory", images / seconds, (before + in_memory(config)) / 2)  # both sides: a machine's speed drifts


def in_memory(config, steps=24):
    """Images a second of the bare loop: batches that lie ready as normalised floats."""
    torch.manual_seed(0)
    classifier = models.create(config)
    network = classifier.network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr)
    loss = losses.loss_function("ce", counts=np.ones(7), weights=np.ones(7))
    frame = data.load_metadata(config.source)
    rows = np.arange(steps * config.batch_size) % len(frame)
    images = torch.from_numpy(data.load_images(config.source, config.cache_size)[rows])
    x = classifier.normalise(view(images, size=config.image_size)).split(config.batch_size)
    y = torch.from_numpy(frame["dx"].map(CLASSES.index).to_numpy()[rows]).split(config.batch_size)
    start = 0.0
    for i in range(-3, steps):
        start = time.perf_counter() if i == 0 else start
        optimizer.zero_grad()
        loss(network(x[i].contiguous(memory_format=torch.channels_last)), y[i]).backward()
        optimizer.step()
    return steps * config.batch_size / (time.perf_counter() - start)


def against_plain(folder):
    frame = phantom.metadata(JPEGS)
    write_jpegs(frame, folder / "raw")
    frame = data.load_metadata("ham10000")
    splits.write("ham10000", splits.make(frame, splits.pairs("ham10000")), frame)
    # Not under the name `quick`, which would leave us one core where the plain recipe has all.
    config = replace(presets.configure("quick"), preset="benchmark", arm="plain", source="ham10000", epochs=EPOCHS)
    start = time.perf_counter()
    data.load_images("ham10000", config.cache_size)
    decoding = time.perf_counter() - start
    epochs = ours(config, folder)
    images = sum(n for _, n in epochs)
    return row("train_vs_plain", images / (decoding + sum(seconds for seconds, _ in epochs)), plain(config, frame, folder / "raw" / "images"))


def write_jpegs(frame, folder):
    """A small collection with pictures of the original size; drawn at a third of it, since only their size matters here."""
    (folder / "images").mkdir(parents=True)
    frame.to_csv(folder / "HAM10000_metadata.csv", index=False)
    images, _ = phantom.generate(frame, size=150)
    for name, image in zip(frame["image_id"], images, strict=True):
        Image.fromarray(cv2.resize(image, RAW, interpolation=cv2.INTER_CUBIC)).save(folder / "images" / f"{name}.jpg", quality=92)


class Pictures(torch.utils.data.Dataset):
    """The plain recipe: open, transform, every time."""

    def __init__(self, frame, folder, transform):
        self.files = [folder / f"{name}.jpg" for name in frame["image_id"]]
        self.target, self.transform = [CLASSES.index(dx) for dx in frame["dx"]], transform

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        return self.transform(Image.open(self.files[i]).convert("RGB")), self.target[i]


def plain(config, frame, folder):
    """Images a second of the plain recipe with the same network, views and batch size."""
    seen = transforms.Compose([
        transforms.Resize(config.cache_size), transforms.RandomHorizontalFlip(), transforms.RandomVerticalFlip(), transforms.RandomRotation(180),
        transforms.RandomResizedCrop(config.image_size, (0.7, 1.0)), transforms.ColorJitter(0.1, 0.1, 0.1), transforms.ToTensor(),
        transforms.Normalize((0.5,) * 3, (0.5,) * 3),
    ])
    loader = torch.utils.data.DataLoader(Pictures(frame, folder, seen), config.batch_size, shuffle=True, num_workers=2, drop_last=True)
    network = models.create(config).network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr)
    start, images = time.perf_counter(), 0
    for _ in range(PLAIN_EPOCHS):
        for x, y in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()
            images += len(y)
    return images / (time.perf_counter() - start)


def row(name, speed, reference):
    return dict(name=name, value=speed, unit="images/s", reference=round(reference, 1), ratio=speed / reference)
