"""Heatmaps of what a network looked at: class activation maps of any timm backbone.

The maps of pytorch-grad-cam, without what commonly goes wrong: the layer is found, not named; the graph starts there, so that frozen stages do
not matter; in-place activations overwrite a copy; hooks never stay behind; and a cell is drawn where its receptive field is, which after
strided convolutions is up to half a cell away from where resizing puts it.
"""

from contextlib import contextmanager

import numpy as np
import torch
from pytorch_grad_cam import EigenCAM, GradCAM, HiResCAM, LayerCAM
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection_with_sign_correction

from helpers import models
from helpers.progress import tqdm

CELLS = 7  # cells a side below which a map says next to nothing about place
PROBES = 8


class SignedEigenCAM(EigenCAM):
    """EigenCAM whose arbitrary sign is chosen so that the strongest place is warm; else every second map would be a negative."""

    def get_cam_image(self, x, layer, targets, activations, gradients, smooth):
        return get_2d_projection_with_sign_correction(activations)


METHODS = {"gradcam": GradCAM, "hirescam": HiResCAM, "eigencam": SignedEigenCAM, "layercam": LayerCAM}


def target_layer(network, *, size, cells=CELLS):
    """The deepest stage that still has a map of some cells a side.

    Found through timm's ``feature_info``; the very last stage of a small input has 2 to 4 cells a side.

    Parameters
    ----------
    network : timm model
    size : int
        Side of the input in pixels.
    cells : int
        Least cells a side; 1 gives the deepest stage. Where no stage has as many, the finest.

    Returns
    -------
    name : str
    layer : torch.nn.Module
    about : dict
        timm's ``num_chs`` and ``reduction`` (input pixels a cell) of the stage.

    References
    ----------
    Selvaraju et al. (2017), Grad-CAM: visual explanations from deep networks via gradient-based localization, ICCV.

    Examples
    --------
    >>> import timm
    >>> network = timm.create_model("test_efficientnet")
    >>> [target_layer(network, size=64, cells=n)[0] for n in (1, 7)]
    ['blocks.4', 'blocks.2']
    """
    stages = [dict(stage) for stage in network.feature_info]
    if getattr(network, "global_pool", None) == "token":
        stages = stages[:-1]  # of the last block only the class token is read: its patches have no gradient
    fitting = [stage for stage in stages if size // stage["reduction"] >= cells] or stages[:1]
    return fitting[-1]["module"], network.get_submodule(fitting[-1]["module"]), fitting[-1]


def as_map(network, channels):
    """A function that brings a stage's output, channels last or tokens too, into the form (b, c, h, w)."""
    def convert(out):
        if out.ndim == 3:
            out = out[:, getattr(network, "num_prefix_tokens", 0) :]
            side = round(out.shape[1] ** 0.5)
            out = out.reshape(len(out), side, -1, out.shape[-1])
        return out if out.shape[1] == channels else out.permute(0, 3, 1, 2)
    return convert


@contextmanager
def opened(network, layer, method, channels):
    """An object of pytorch-grad-cam on one layer; its hooks and changed gradient flags are gone afterwards, whatever happens inside.

    Our hook before the library's makes the layer's output the leaf of the graph; the one after it passes on a copy, so that an in-place
    activation does not overwrite what was kept.
    """
    flags = {p: p.requires_grad for p in network.parameters()}
    network.requires_grad_(False)
    hooks, cam = [layer.register_forward_hook(lambda module, x, out: out.detach().requires_grad_())], None
    try:
        cam = METHODS[method](network, [layer], as_map(network, channels))
        hooks.append(layer.register_forward_hook(lambda module, x, out: out.clone()))
        yield cam
    finally:
        if cam is not None:
            cam.activations_and_grads.release()
        for hook in hooks:
            hook.remove()
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)


def heat(cam, x, classes):
    """Positive evidence (b, h, w) for a class of each image, on the cells of the layer; x is (b, 3, s, s), classes (b,) int."""
    kept = cam.activations_and_grads
    with torch.enable_grad():
        outputs = kept(x)
        if cam.uses_gradients:
            outputs[torch.arange(len(x)), classes].sum().backward()
    gradients = kept.gradients[0].float().numpy() if kept.gradients else None
    found = np.maximum(cam.get_cam_image(x, None, None, kept.activations[0].float().numpy(), gradients, False), 0)
    kept.clear()
    return torch.from_numpy(np.ascontiguousarray(found, dtype=np.float32))


def first_centre(network, layer, channels, *, size, step):
    """Where the centre of the first cell's receptive field lies, in pixels of the input, measured on the middle cell.

    The mean place of the squared gradient of the middle cell over a few noise images; a cell further is a ``step`` further.

    References
    ----------
    Alsallakh et al. (2021), Mind the pad: CNNs can develop blind spots, ICLR (what padding does to the grid).
    """
    kept, convert = [], as_map(network, channels)
    generator = torch.Generator().manual_seed(0)
    device = next(network.parameters()).device
    x = torch.randn(PROBES, 3, size, size, generator=generator).to(device).requires_grad_()
    hook = layer.register_forward_hook(lambda module, x, out: kept.append(convert(out).clone()))  # before anything overwrites it
    try:
        with torch.enable_grad():
            network(x)
            cells = kept[0].shape[-1]
            signs = torch.randn(kept[0].shape[:2], generator=generator).to(device)
            slope = torch.autograd.grad((kept[0][:, :, cells // 2, cells // 2] * signs).sum(), x)[0].square().sum((0, 1)).cpu()
    finally:
        hook.remove()
    place = torch.arange(size) + 0.0
    middle = (slope.sum(0) @ place + slope.sum(1) @ place) / (2 * slope.sum())
    return float(middle) - step * (cells // 2)


def spread(cells, size, *, first=None, step=None):
    """Bilinear map from cells to pixels.

    Parameters
    ----------
    cells : (b, h, h) tensor
    size : int
        Pixels a side.
    first, step : float, optional
        Pixel of the first cell's centre, and pixels from cell to cell; left out, the cells tile the image.

    Returns
    -------
    (b, size, size) tensor

    Examples
    --------
    >>> spread(torch.eye(2)[None, :, :1] * torch.eye(2)[:1], 4)[0, 0].tolist()
    [1.0, 0.75, 0.25, 0.0]
    """
    count = cells.shape[-1]
    step = size / count if step is None else step
    first = (step - 1) / 2 if first is None else first
    at = ((torch.arange(size) - first) / step).clamp(0, count - 1)
    weight = (1 - (at[:, None] - torch.arange(count)).abs()).clamp(min=0)
    return weight @ cells @ weight.T


def maps(classifier, images, rows, *, size, classes, method="gradcam", cells=CELLS, turns=(0,), batch=32):
    """Heatmaps of the centre view of some images, batch by batch.

    Parameters
    ----------
    classifier : Classifier
    images : (n, h, w, 3) uint8 array
    rows : (m,) int
        Which images.
    size : int
        Input side in pixels.
    classes : (m,) int
        The class whose evidence is shown, image by image.
    method, cells : str, int
        Key of ``METHODS``, and see :func:`target_layer`.
    turns : sequence of int
        Quarter turns of the view: the map of a prediction averaged over turned views is the mean of the maps of all views, each turned back.

    Returns
    -------
    (m, size, size) float32 array in [0, 1]
        The maximum is 1; all zero where nothing speaks for the class.

    References
    ----------
    Selvaraju et al. (2017), Grad-CAM, ICCV. Draelos & Carin (2020), HiResCAM, arXiv:2011.08891. Muhammad & Yeasin (2020), Eigen-CAM, IJCNN.
    Jiang et al. (2021), LayerCAM, IEEE Trans. Image Process. 30.
    """
    if method not in METHODS:
        raise ValueError(f"no method {method!r}: choose one of {', '.join(METHODS)}")
    network, out = classifier.network.eval(), np.empty((len(rows), size, size), np.float32)
    _, layer, about = target_layer(network, size=size, cells=cells)
    grid = dict(step=about["reduction"], first=first_centre(network, layer, about["num_chs"], size=size, step=about["reduction"]))
    with opened(network, layer, method, about["num_chs"]) as cam:
        for start in tqdm(range(0, len(rows), batch), desc=method, unit="batch", leave=False):
            part = slice(start, start + batch)
            x = models.inputs(classifier, images[rows[part]], size=size)
            chosen = torch.as_tensor(np.asarray(classes)[part], device=x.device)
            found = [spread(heat(cam, torch.rot90(x, turn, (2, 3)), chosen), size, **grid) for turn in turns]
            out[part] = scaled(sum(torch.rot90(one, -turn, (1, 2)) for one, turn in zip(found, turns, strict=True)).numpy())
    return out


def scaled(heatmaps):
    """Maps (m, s, s) divided by their maximum, where it is above zero."""
    top = heatmaps.max((1, 2), keepdims=True)
    return np.divide(heatmaps, top, out=np.zeros_like(heatmaps), where=top > 0)
