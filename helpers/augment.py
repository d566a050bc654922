"""Random views of dermatoscopic images: every image gets its own geometry and colour, one warp per batch."""

import random

import numpy as np
import torch
from PIL import Image
from timm.data import Mixup
from timm.data.auto_augment import rand_augment_transform
from torch.nn import functional

from helpers.lesions import CLASSES

N_DRAWS = 10


def draws(seed, epoch, images, *, count=N_DRAWS):
    """Uniform numbers that depend on (seed, epoch, image) alone, never on batch or worker.

    Parameters
    ----------
    seed, epoch : int
    images : (b,) int
        Row numbers of the images.
    count : int
        Numbers per image.

    Returns
    -------
    (b, count) float64 array in [0, 1)

    References
    ----------
    Steele, Lea, Flood (2014), Fast splittable pseudorandom number generators (the mixing function).

    Examples
    --------
    >>> bool((draws(0, 1, [5, 7])[1] == draws(0, 1, [7])[0]).all())
    True
    """
    with np.errstate(over="ignore"):
        x = mix(np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(epoch))
        x = mix(x + np.asarray(images, dtype=np.uint64) * np.uint64(0xD1342543DE82EF95))
        x = mix(x[:, None] + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return (x >> np.uint64(11)) / 2.0**53


def mix(x):
    """Finaliser of splitmix64 on uint64 values."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def view(images, *, size, uniform=None, scale=0.0, colour=0.0):
    """Square views of full frames: the plain centre, or a random flip, turn, zoom, shift and colour.

    Parameters
    ----------
    images : (b, h, w, 3) uint8 tensor
    size : int
        Side of the output in pixels; at zoom 1 it covers the full height of the frame.
    uniform : (b, N_DRAWS) array in [0, 1) or None
        From :func:`draws`; None gives the centre view used for evaluation.
    scale, colour : float
        Half-widths of zoom (ratio) and of brightness, contrast, saturation and tint (fraction).

    Returns
    -------
    (b, 3, size, size) float32 tensor in [0, 1]
    """
    x = images.permute(0, 3, 1, 2).float().div_(255)
    if uniform is None:
        uniform = np.full((len(x), N_DRAWS), 0.5)
        uniform[:, :2] = 0.0
    u = torch.as_tensor(uniform, dtype=torch.float32, device=x.device)
    grid = functional.affine_grid(geometry(u, aspect=x.shape[2] / x.shape[3], scale=scale), (len(x), 3, size, size), align_corners=False)
    x = functional.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return recolour(x, u, colour) if colour else x


def geometry(u, *, aspect, scale):
    """(b, 2, 3) maps from the square output to the frame; aspect is height / width."""
    angle, flip = 2 * torch.pi * u[:, 0], 1 - 2 * (u[:, 1] >= 0.5).float()
    zoom = 1 + scale * (2 * u[:, 2] - 1)
    shift = 0.5 * scale * (2 * u[:, 3:5] - 1)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    rows = torch.stack([flip * cos * aspect, -sin * aspect, shift[:, 0], flip * sin, cos, shift[:, 1]], dim=1)
    return rows.view(-1, 2, 3)


def recolour(x, u, colour):
    """One 3x4 colour matrix per image: tint, saturation, contrast, brightness."""
    change = colour * (2 * u[:, 5:] - 1)
    brightness, saturation, contrast = change[:, 0, None, None], 1 + 2 * change[:, 1, None, None], 1 + change[:, 2, None, None]
    tint = torch.stack([1 + 0.3 * change[:, 3], torch.ones(len(u), device=u.device), 1 + 0.3 * change[:, 4]], dim=1)
    luma = torch.tensor([0.299, 0.587, 0.114], device=u.device).expand(3, 3)
    matrix = contrast * (saturation * torch.eye(3, device=u.device) + (1 - saturation) * luma) * tint[:, None, :]
    offset = brightness + (1 - contrast) * 0.5
    return (torch.einsum("bij,bjhw->bihw", matrix, x) + offset[..., None]).clamp_(0, 1)


def randaugment(images, uniform, *, magnitude):
    """Two random operations of RandAugment on every frame.

    Parameters
    ----------
    images : (b, h, w, 3) uint8 tensor
    uniform : (b,) array in [0, 1)
        One number per image, from :func:`draws`; it decides what happens.
    magnitude : int
        0-10.

    References
    ----------
    Cubuk et al. (2020), RandAugment: practical automated data augmentation with a reduced search space, NeurIPS.
    """
    change, before = rand_augment_transform(f"rand-m{magnitude}-n2-mstd0.5", {}), (random.getstate(), np.random.get_state())
    out = np.empty(images.shape, np.uint8)
    for row, image, u in zip(out, images.cpu().numpy(), uniform, strict=True):
        # timm draws from both global generators.
        random.seed(float(u))
        np.random.seed(int(u * 2**32))
        row[:] = np.asarray(change(Image.fromarray(image)))
    random.setstate(before[0])
    np.random.set_state(before[1])
    return torch.from_numpy(out).to(images.device)


def blended(x, target, *, alpha, seed):
    """Mixup or CutMix of a batch, half of the batches each: new inputs, and targets as (b, k) shares.

    Parameters
    ----------
    x : (b, 3, s, s) tensor
    target : (b,) int tensor
    alpha : float
        Parameter of the Beta distribution of mixup's weights; CutMix has 1.
    seed : int or tuple of int
        Decides the choice and the weights. A last odd image is left out, as pairs are needed.

    References
    ----------
    Zhang et al. (2018), mixup: beyond empirical risk minimization, ICLR.
    Yun et al. (2019), CutMix: regularization strategy to train strong classifiers with localizable features, ICCV.
    """
    even = len(x) // 2 * 2
    before = np.random.get_state()
    np.random.seed(np.random.SeedSequence(seed).generate_state(4))
    x, target = Mixup(mixup_alpha=alpha, cutmix_alpha=1.0, label_smoothing=0.0, num_classes=len(CLASSES))(x[:even].clone(), target[:even])
    np.random.set_state(before)
    return x, target
