"""The network of the generator: a residual, class-conditional variational autoencoder, and the Lightning module that trains it."""

from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from helpers.augment import draws
from helpers.learner import Batches, Resumable, sampling_probabilities
from helpers.lesions import CLASSES

LABEL = 32  # length of a class embedding
GROUPS = 8


class Block(nn.Module):
    """Two 3x3 convolutions around a skip; the class scales and shifts the features between them."""

    def __init__(self, inside, outside):
        super().__init__()
        self.first, self.second = (nn.Conv2d(channels, outside, 3, padding=1) for channels in (inside, outside))
        self.norms = nn.ModuleList([nn.GroupNorm(GROUPS, inside), nn.GroupNorm(GROUPS, outside)])
        self.label = nn.Linear(LABEL, 2 * outside)
        self.skip = nn.Conv2d(inside, outside, 1) if inside != outside else nn.Identity()
        nn.init.zeros_(self.second.weight)  # starts as the skip alone, which keeps deep stacks stable

    def forward(self, x, label):
        scale, shift = self.label(label)[:, :, None, None].chunk(2, dim=1)
        h = self.first(functional.silu(self.norms[0](x)))
        return self.skip(x) + self.second(functional.silu(self.norms[1](h) * (1 + scale) + shift))


class Vae(nn.Module):
    """Encoder and decoder between (b, 3, s, s) images in [-1, 1] and ``latent`` numbers, both told the class.

    Parameters
    ----------
    size : int
        Side of the images, a multiple of 16.
    width : int
        Channels at half the side; a multiple of 8.
    latent : int
    """

    def __init__(self, *, size, width, latent):
        super().__init__()
        steps = (width, 2 * width, 4 * width, 4 * width)  # channels at 1/2, 1/4, 1/8 and 1/16 of the side
        self.side, self.deepest = size // 16, steps[-1]
        flat = self.deepest * self.side**2
        self.label = nn.Embedding(len(CLASSES), LABEL)
        self.enter = nn.Conv2d(3, width, 4, stride=2, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(steps))
        self.encode_blocks = nn.ModuleList(Block(b, b) for b in steps[1:])
        self.to_latent = nn.Linear(flat, 2 * latent)
        self.from_latent = nn.Linear(latent + LABEL, flat)
        self.decode_blocks = nn.ModuleList(Block(b, a) for a, b in zip((*steps[::-1][1:], width), steps[::-1], strict=True))
        self.leave = nn.Sequential(nn.GroupNorm(GROUPS, width), nn.SiLU(), nn.Conv2d(width, 3, 3, padding=1))

    def encode(self, x, classes):
        """Mean and logarithm of the variance of the latent numbers, both (b, latent)."""
        label, h = self.label(classes), self.enter(x)
        for down, block in zip(self.down, self.encode_blocks, strict=True):
            h = block(down(h), label)
        mean, log_variance = self.to_latent(functional.silu(h).flatten(1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-10, 4)

    def decode(self, z, classes):
        """(b, 3, s, s) images around [-1, 1] from (b, latent)."""
        label = self.label(classes)
        h = self.from_latent(torch.cat([z, label], dim=1)).view(-1, self.deepest, self.side, self.side)
        h = h.contiguous(memory_format=torch.channels_last)
        for block in self.decode_blocks:
            h = functional.interpolate(block(h, label), scale_factor=2, mode="bilinear", align_corners=False)
        return self.leave(h)


def losses_of(x, seen, mean, log_variance, *, free_bits, edge):
    """Reconstruction and KL divergence, nats per image.

    The reconstruction is that of a Gaussian whose width is the best one for the batch, so that no weight between the two has to be guessed.

    Parameters
    ----------
    x, seen : (b, 3, s, s) tensors
        Reconstruction and image.
    mean, log_variance : (b, latent) tensors
    free_bits : float
        Nats that every latent number may carry for nothing.
    edge : float
        Weight of the squared error of differences between neighbouring pixels, relative to the plain squared error.

    References
    ----------
    Kingma, Welling (2014), Auto-encoding variational Bayes, ICLR.
    Kingma et al. (2016), Improved variational inference with inverse autoregressive flow, NeurIPS (free bits).
    Rybkin, Daniilidis, Levine (2021), Simple and effective VAE training with calibrated decoders, ICML (the width).
    """
    gap = x.float() - seen
    error = gap.square().mean()
    if edge:
        error = error + edge * sum(gap.diff(dim=d).square().mean() for d in (2, 3))
    reconstruction = 0.5 * x[0].numel() * (error + 1e-6).log()
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).float().mean(0)
    return reconstruction, kl.clamp_min(free_bits).sum(), kl.sum()


class VaeLearner(Resumable):
    """One generator in training; it is handed train images only.

    Parameters
    ----------
    config : GeneratorConfig
    network : Vae
    images : (n, 3, s, s) uint8 tensor
    target : (n,) int
        Class index of every image.
    """

    rise = 0.1

    def __init__(self, config, network, images, target):
        super().__init__(config, network, images, target)
        self.growth = []

    def order(self, rows):
        """Rows of this epoch: drawn with class shares between those of the images (balance 0) and equal ones (1)."""
        generator = np.random.default_rng((self.config.seed, self.epoch))
        equal = sampling_probabilities(self.data.target.numpy())
        p = equal**self.config.balance
        return generator.choice(rows, size=len(rows), p=p / p.sum())

    def train_dataloader(self):
        return Batches(np.arange(len(self.data.target)), self.config.batch_size, self.order)

    def training_step(self, rows, _):
        rows = rows.cpu()
        flip = torch.from_numpy(draws(self.config.seed, self.epoch, rows.numpy(), count=2) >= 0.5)
        seen = scaled(flipped(self.data.images[rows], flip)).to(self.device)
        classes = self.data.target[rows].to(self.device)
        mean, log_variance = self.network.encode(seen, classes)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        drawn = self.network.decode(z, classes)
        reconstruction, cost, kl = losses_of(drawn, seen, mean, log_variance, free_bits=self.config.free_bits, edge=self.config.edge)
        error = 127.5 * (drawn.detach().float() - seen).square().mean().sqrt()
        self.terms.append(torch.stack([reconstruction.detach(), kl.detach(), error]))
        return (reconstruction + self.pressure() * cost) / seen[0].numel()

    def pressure(self):
        """Weight of the KL divergence at this step: it grows to beta during the warm-up."""
        share = self.trainer.global_step / max(self.config.warmup * self.config.epochs * self.trainer.num_training_batches, 1)
        return self.config.beta * min(1.0, share)

    def on_train_epoch_end(self):
        reconstruction, kl, error = torch.stack(self.terms).mean(0).tolist()
        self.history.append(dict(epoch=self.epoch - 1, reconstruction=reconstruction, kl=kl, train_loss=reconstruction + kl, pixel_error=error))
        self.growth.append(self.draw_each())

    @torch.no_grad()
    def draw_each(self):
        """One picture of every class, (7, 3, s, s) uint8, from latent numbers that stay the same."""
        z = torch.randn(1, self.config.latent, generator=torch.Generator().manual_seed(self.config.seed))
        classes = torch.arange(len(CLASSES), device=self.device)
        return bytes_of(self.network.decode(z.to(self.device).expand(len(classes), -1), classes)).cpu()

    def on_save_checkpoint(self, checkpoint):
        super().on_save_checkpoint(checkpoint)
        checkpoint["growth"] = self.growth

    def on_load_checkpoint(self, checkpoint):
        super().on_load_checkpoint(checkpoint)
        self.growth = checkpoint["growth"]


def flipped(images, flip):
    """(b, 3, s, s) images mirrored where ``flip`` (b, 2) bool says so: upside down, left to right."""
    for d in (2, 3):
        images = torch.where(flip[:, d - 2, None, None, None], images.flip(d), images)
    return images


def scaled(images):
    """uint8 images as float32 in [-1, 1], channels last in memory."""
    return (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def bytes_of(images):
    """The reverse of :func:`scaled`: images around [-1, 1] as uint8."""
    return ((images + 1) * 127.5).round().clamp(0, 255).byte()
