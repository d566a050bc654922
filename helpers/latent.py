"""What a finished encoder and decoder say about the train images: latent vectors, their densities, and what is left out."""

import torch

from helpers.lesions import CLASSES
from helpers.vae import scaled

BATCH = 128
COARSE, FINE = 4, 10  # cycles per frame: what is slower than the first belongs to the lesion, what is faster than the second is grain


@torch.inference_mode()
def encode(network, images, classes):
    """Latent means and variances (n, latent) of (n, 3, s, s) uint8 images."""
    parts = [network.encode(scaled(images[i : i + BATCH]), classes[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    mean, log_variance = (torch.cat(part) for part in zip(*parts, strict=True))
    return mean, log_variance.exp()


def densities(latent, target):
    """Gaussian of the latent vectors of each class; its covariance leans on that of all classes where images are few.

    Parameters
    ----------
    latent : tuple of two (n, d) tensors
        Means and variances.
    target : (n,) int
        Class indices, each at least once.

    Returns
    -------
    centre, spread : (7, d), (7, d, d) tensors
        Spread is the lower Cholesky factor.
    """
    mean, variance = (part.double() for part in latent)
    d = mean.shape[1]
    centre = torch.stack([mean[target == c].mean(0) for c in range(len(CLASSES))])
    gap = mean - centre[target]
    pooled, spread = gap.T @ gap / len(gap) + variance.mean(0).diag(), []
    for c in range(len(CLASSES)):
        own = gap[target == c]
        scatter = own.T @ own + len(own) * variance[target == c].mean(0).diag()
        spread.append(torch.linalg.cholesky((scatter + d * pooled) / (len(own) + d) + 1e-5 * torch.eye(d)))
    return centre.float(), torch.stack(spread).float()


@torch.inference_mode()
def texture(network, images, classes, latent):
    """Amplitudes by class and frequency, and the colours, of what reconstructions leave out.

    The decoder gives the mean of its Gaussian; the fine part of the rest is described by its spectrum, under a window, as frames do not repeat.

    References
    ----------
    Galerne, Gousseau, Morel (2011), Random phase textures: theory and synthesis, IEEE Trans. Image Process. 20.
    """
    parts = range(0, len(images), BATCH)
    rest = torch.cat([scaled(images[i : i + BATCH]) - network.decode(latent[i : i + BATCH], classes[i : i + BATCH]) for i in parts])
    rest = rest - rest.mean((2, 3), keepdim=True)
    flat = rest.permute(1, 0, 2, 3).reshape(3, -1).double()
    colour = torch.linalg.cholesky(flat @ flat.T / flat.shape[1] + 1e-8 * torch.eye(3)).float()
    free = torch.einsum("ij,bjhw->bihw", torch.linalg.inv(colour), rest)
    size = images.shape[-1]
    window = torch.outer(*[torch.hann_window(size, periodic=False)] * 2)
    power = torch.fft.rfft2(free * window / window.square().mean().sqrt(), norm="ortho").abs().square()
    cycles = torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None]) * size
    fine = ((cycles - COARSE) / (FINE - COARSE)).clamp(0, 1)
    return torch.stack([power[classes == c].mean(0).sqrt() * fine for c in range(len(CLASSES))]), colour
