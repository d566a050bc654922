"""Classifiers from timm, with the input normalisation that their weights were trained with."""

import hashlib
from dataclasses import dataclass

import numpy as np
import timm
import torch

from helpers import weights
from helpers.augment import view
from helpers.lesions import CLASSES

N_CLASSES = len(CLASSES)


@dataclass
class Classifier:
    """A network and what must be known to use it.

    Attributes
    ----------
    network : torch.nn.Module
        Maps (b, 3, s, s) normalised float32 to (b, k) logits.
    mean, std : tuple of 3 floats
        Normalisation of inputs in [0, 1].
    weights : str
        Where the initial weights came from: a sha256, a timm tag, or ``random``.
    """

    network: torch.nn.Module
    mean: tuple
    std: tuple
    weights: str

    @property
    def device(self):
        """Where the network is; its inputs follow."""
        return next(self.network.parameters()).device

    def ready(self):
        """Itself, for answers: on the GPU that PyTorch finds, if any, without dropout and the like."""
        self.network.to(torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu").eval()
        return self

    def normalise(self, x):
        """Subtract mean and divide by std, channel by channel."""
        mean, std = (torch.tensor(v, device=x.device).view(3, 1, 1) for v in (self.mean, self.std))
        return (x - mean) / std


def create(config, *, n_classes=N_CLASSES):
    """Build the network of a configuration, with its initial weights.

    Parameters
    ----------
    config : TrainConfig
        ``backbone``, ``weights`` and ``dropout`` are read.
    n_classes : int
        Outputs; 0 gives pooled features.

    Returns
    -------
    Classifier
        Where ImageNet weights cannot be fetched, a random start, printed and recorded in ``weights``.

    Raises
    ------
    ValueError
        A backbone that timm does not know, or weights of another architecture.
    """
    if not timm.is_model(config.backbone):
        raise ValueError(f"timm knows no backbone {config.backbone!r}: see timm.list_models() for the names")
    kwargs = dict(num_classes=n_classes, drop_rate=config.dropout)
    local = weights.local(config.backbone) if config.weights == "imagenet" else None
    source = config.weights
    if local:
        path, about = local
        source = hashlib.sha256(path.read_bytes()).hexdigest()
        if about.get("sha256", source) != source:
            raise ValueError(f"{path.name} does not have the sha256 in its JSON: fetch it again")
        overlay = dict(file=str(path), mean=tuple(about["mean"]), std=tuple(about["std"]))
        network = timm.create_model(config.backbone, pretrained=True, pretrained_cfg_overlay=overlay, **about["model_kwargs"], **kwargs)
    elif config.weights == "imagenet":
        network, source = fetch(config.backbone, kwargs)
    else:
        network = timm.create_model(config.backbone, **kwargs)
    if n_classes:
        # A head at zero starts from the loss ln k instead of a random, often much larger one that would first shake the backbone.
        for parameter in network.get_classifier().parameters():
            torch.nn.init.zeros_(parameter)
    return Classifier(network, tuple(network.pretrained_cfg["mean"]), tuple(network.pretrained_cfg["std"]), source)


def fetch(backbone, kwargs):
    """Network with timm's ImageNet weights, or a random start where they cannot be had; never silently."""
    try:
        network = timm.create_model(backbone, pretrained=True, **kwargs)
        return network, "timm:" + network.pretrained_cfg.get("tag", "default")
    except (OSError, RuntimeError) as error:
        print(f"ImageNet weights of {backbone} cannot be fetched ({type(error).__name__}): starting from RANDOM weights, "
              "which is recorded; set SKIN_WEIGHTS to a local file for the published start.")
        return timm.create_model(backbone, **kwargs), "random (fall-back)"


def predict(classifier, images, rows, *, size, batch=64, turns=0):
    """Outputs of the network on the centre view of some images.

    Parameters
    ----------
    classifier : Classifier
    images : (n, h, w, 3) uint8 array
    rows : (m,) int
        Which images.
    size : int
        Input side in pixels.
    turns : int
        Quarter turns of the view.

    Returns
    -------
    (m, k) float32 array
        Logits, or pooled features where the network has no classes.
    """
    network, out = classifier.network.eval(), []
    with torch.inference_mode():
        for start in range(0, len(rows), batch):
            x = torch.rot90(inputs(classifier, images[rows[start : start + batch]], size=size), turns, (2, 3))
            out.append(network(x.contiguous(memory_format=torch.channels_last)).float().cpu().numpy())
    return np.concatenate(out)


def inputs(classifier, images, *, size):
    """(b, 3, size, size) normalised centre views of (b, h, w, 3) uint8 frames."""
    x = view(torch.from_numpy(np.array(images)).to(classifier.device), size=size)  # a copy: frames may be read-only
    return classifier.normalise(x).contiguous(memory_format=torch.channels_last)
