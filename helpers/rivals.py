"""Other heatmaps: LIME, which asks the network from outside, a network that was never trained, and maps that have seen no network at all."""

import cv2
import numpy as np
import timm
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import Lime
from skimage.segmentation import slic

from helpers import models
from helpers.augment import view
from helpers.gradcam import scaled
from helpers.progress import tqdm


def randomised(classifier, *, seed=0):
    """The same architecture with fresh random weights, its head included: a map that stays the same does not explain the training.

    References
    ----------
    Adebayo et al. (2018), Sanity checks for saliency maps, NeurIPS.
    """
    name = classifier.network.pretrained_cfg["architecture"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = timm.create_model(name, num_classes=classifier.network.num_classes)
    return models.Classifier(network, classifier.mean, classifier.std, "random").ready()


def lime(classifier, images, rows, *, size, classes, segments=40, samples=120, seed=0):
    """LIME: how much each superpixel speaks for a class, from views in which random superpixels have the image's mean colour.

    Parameters
    ----------
    segments, samples : int
        About how many superpixels an image has, and how many masked views are asked.

    Returns
    -------
    (m, size, size) float32 array in [0, 1]
        As :func:`maps`; the positive weights of a ridge regression on the probability of the class.

    References
    ----------
    Ribeiro, Singh, Guestrin (2016), "Why should I trust you?", KDD. Achanta et al. (2012), SLIC superpixels, IEEE Trans. PAMI 34.
    """
    network, out = classifier.network.eval(), []
    explainer = Lime(lambda x: network(x).softmax(1), interpretable_model=SkLearnRidge(alpha=1.0))
    with torch.random.fork_rng(devices=[]):
        for row, target in tqdm(zip(rows, classes, strict=True), total=len(rows), desc="lime", unit="image", leave=False):
            torch.manual_seed(seed)
            x = models.inputs(classifier, images[row : row + 1], size=size)
            plain = view(torch.from_numpy(np.array(images[row : row + 1])), size=size)[0].permute(1, 2, 0).numpy()
            parts = torch.from_numpy(slic(plain, n_segments=segments, start_label=0)).to(x.device)
            weights = explainer.attribute(x, target=int(target), feature_mask=parts[None, None], baselines=x.mean((2, 3), keepdim=True).expand_as(x),
                                          n_samples=samples, perturbations_per_eval=40)
            out.append(weights[0, 0].detach().cpu().numpy().astype(np.float32))
    return scaled(np.maximum(np.stack(out), 0))


def blob(n, size):
    """Centred Gaussian with a deviation of a quarter of the side, (n, size, size): wins wherever lesions are centred."""
    distance = (np.arange(size) - (size - 1) / 2) / (size / 4)
    line = np.exp(-(distance**2) / 2).astype(np.float32)
    return np.broadcast_to(line[:, None] * line, (n, size, size))


def uniform(n, size):
    """The same everywhere, (n, size, size): its scores are those of chance."""
    return np.ones((n, size, size), np.float32)


def edges(views):
    """Strength of grey edges (n, s, s) of views (n, s, s, 3) uint8: a map of the picture that has seen no network."""
    grey = [cv2.GaussianBlur(cv2.cvtColor(one, cv2.COLOR_RGB2GRAY), (0, 0), 1).astype(np.float32) for one in views]
    return scaled(np.stack([np.hypot(cv2.Sobel(one, -1, 1, 0), cv2.Sobel(one, -1, 0, 1)) for one in grey]))
