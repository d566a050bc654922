"""How fast the generator of the course trains and draws; its weights are random, which changes neither."""

import time

import numpy as np
import pandas as pd
import torch

from helpers import cvae, generators, vae
from helpers.lesions import CLASSES

WANTED, MINUTES, IMAGES = 500, 12, 6_000
STEPS, DRAWN = 8, 512


def measure():
    """Pictures drawn per second (goal 500), and minutes that its epochs take on 6,000 images (goal 12), from a few steps.

    Returns
    -------
    list of dict
        ``name, value, unit, reference, ratio``; a ratio above 1 is better than the goal.
    """
    config = generators.generator("course")
    network = cvae.build(config)
    latent, size = config.latent, config.image_size
    tensors = torch.zeros(7, latent), torch.eye(latent).repeat(7, 1, 1), torch.ones(7, 3, size, size // 2 + 1), torch.eye(3)
    generator = cvae.Generator(config, {}, network.eval(), *tensors, history=pd.DataFrame(), growth=np.empty(0))
    dx = np.resize(CLASSES, DRAWN)
    cvae.sample(generator, dx)
    start = time.perf_counter()
    cvae.sample(generator, dx)
    speed = DRAWN / (time.perf_counter() - start)
    minutes = step_seconds(config, network.train()) * config.epochs * (IMAGES // config.batch_size) / 60
    return [dict(name="cvae_sampling", value=speed, unit="images/s", reference=WANTED, ratio=speed / WANTED),
            dict(name="cvae_training", value=minutes, unit="min", reference=MINUTES, ratio=MINUTES / minutes)]


def step_seconds(config, network):
    """Seconds of one optimiser step."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    images = torch.randint(0, 256, (config.batch_size, 3, config.image_size, config.image_size), dtype=torch.uint8)
    seen, classes = vae.scaled(images), torch.arange(config.batch_size) % len(CLASSES)
    for step in range(STEPS + 2):
        if step == 2:
            start = time.perf_counter()
        mean, log_variance = network.encode(seen, classes)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        reconstruction, cost, _ = vae.losses_of(network.decode(z, classes), seen, mean, log_variance, free_bits=0.0, edge=0.0)
        optimizer.zero_grad()
        (reconstruction + cost).backward()
        optimizer.step()
    return (time.perf_counter() - start) / STEPS
