"""What a heatmap costs beside a forward and a backward pass, and what 2,000 of them leave in memory."""

import gc
import time

import numpy as np
import psutil
import torch

from helpers import gradcam, models, presets

BATCH, ROUNDS = 32, 6
MANY, CHUNK = 2000, 250


def measure():
    """Speed of Grad-CAM on the course network, and growth of memory.

    Returns
    -------
    list of dict
        ``gradcam_vs_forward_backward``: heatmaps a second, views and upsampling included, against images a second of one forward and one
        backward pass over the whole network on batches that lie ready, in turns. ``gradcam_memory``: MB that the process holds more after
        2,000 heatmaps than after the first 250; the reference is the 250 heatmaps' own size, ratio = reference / value.
    """
    config = presets.configure("course", weights="random")
    classifier = models.create(config)
    torch.nn.init.normal_(classifier.network.get_classifier().weight, std=0.01)  # a head at zero has no gradient
    classifier.network.to(memory_format=torch.channels_last)
    images = np.random.default_rng(0).integers(0, 255, (CHUNK, config.cache_size, round(config.cache_size * 4 / 3), 3), dtype=np.uint8)
    return [speed(classifier, images, config.image_size), memory(classifier, images, config.image_size)]


def speed(classifier, images, size):
    network, ours, theirs = classifier.network.eval(), [], []
    rows, classes = np.arange(2 * BATCH), np.zeros(2 * BATCH, int)
    x = models.inputs(classifier, images[:BATCH], size=size)
    for _ in range(ROUNDS):
        start = time.perf_counter()
        gradcam.maps(classifier, images, rows, size=size, classes=classes, batch=BATCH)
        ours.append(len(rows) / (time.perf_counter() - start))
        start = time.perf_counter()
        for _ in range(2):
            network(x)[:, 0].sum().backward()
            network.zero_grad()
        theirs.append(2 * BATCH / (time.perf_counter() - start))
    value, reference = np.median(ours[1:]), np.median(theirs[1:])
    return dict(name="gradcam_vs_forward_backward", value=float(value), unit="images/s", reference=round(float(reference), 1),
                ratio=float(value / reference))


def memory(classifier, images, size):
    process, held = psutil.Process(), []
    for _ in range(MANY // CHUNK):
        gradcam.maps(classifier, images, np.arange(CHUNK), size=size, classes=np.zeros(CHUNK, int), batch=BATCH)
        gc.collect()
        held.append(process.memory_info().rss / 1e6)
    grown, own = max(held[-1] - held[0], 0.0), CHUNK * size * size * 4 / 1e6
    return dict(name="gradcam_memory", value=grown, unit="MB", reference=round(own, 1), ratio=own / max(grown, 0.1))
