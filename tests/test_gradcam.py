"""Heatmaps: the layer is found for any backbone, nothing stays behind, and heat lies where it came from."""

import gc
import json

import numpy as np
import pytest
import timm
import torch
from pytorch_grad_cam import GradCAM
from torch import nn

from helpers import gradcam, models, presets, rivals, runs, train
from helpers.lesions import CLASSES

IMAGES = np.random.default_rng(0).integers(0, 255, (6, 72, 96, 3), dtype=np.uint8)
ROWS, TARGETS = np.arange(6), np.arange(6) % len(CLASSES)
HALVES = (0.5, 0.5, 0.5)


def classifier(name="test_resnet", **options):
    torch.manual_seed(0)
    return models.Classifier(timm.create_model(name, num_classes=7, **options).eval(), HALVES, HALVES, "random")


class Strided(nn.Module):
    """Four strided convolutions that add up what they see, one class: heat must lie where the light is."""

    feature_info = [dict(module=f"body.{i}", num_chs=1, reduction=2 ** (i + 1)) for i in range(3)]

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(*[nn.Conv2d(1 if i else 3, 1, 3, stride=2, padding=1, bias=False) for i in range(3)])
        for layer in self.body:
            nn.init.constant_(layer.weight, 0.1)

    def forward(self, x):
        return self.body(x).mean((2, 3)).expand(-1, 7)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext", "test_byobnet", "test_nfnet", "test_mambaout", "test_vit"])
def test_any_backbone_has_a_layer_and_a_map(name):
    size = 160 if name == "test_vit" else 64
    heat = gradcam.maps(classifier(name), IMAGES, ROWS, size=size, classes=TARGETS)
    assert heat.shape == (6, size, size) and heat.min() >= 0 and np.isin(heat.max((1, 2)), (0, 1)).all() and heat.max() == 1


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_b2", "mobilenetv2_100", "tf_efficientnet_lite0"])
def test_the_layer_of_an_efficientnet_is_a_stage_and_not_a_gate(name):
    """The last Conv2d of a block, which recipes for ResNets end in, may be a squeeze-and-excitation gate of one cell."""
    network, shapes = timm.create_model(name).eval(), {}
    for cells, least in ((1, 4), (7, 7)):
        stage, layer, about = gradcam.target_layer(network, size=128, cells=cells)
        hook = layer.register_forward_hook(lambda module, x, out, cells=cells: shapes.update({cells: out.shape}))
        with torch.inference_mode():
            network(torch.zeros(1, 3, 128, 128))
        hook.remove()
        assert shapes[cells][1:] == (about["num_chs"], 128 // about["reduction"], 128 // about["reduction"])
        assert shapes[cells][-1] >= least and stage.startswith("blocks.") and stage.count(".") == 1


@pytest.mark.parametrize("method", list(gradcam.METHODS))
def test_nothing_stays_behind(method):
    """No hook, no gradient, no changed flag or mode, also when the network fails in the middle."""
    one = classifier()
    next(one.network.parameters()).requires_grad_(False)
    flags, modes = [p.requires_grad for p in one.network.parameters()], [m.training for m in one.network.modules()]
    gradcam.maps(one, IMAGES, ROWS, size=64, classes=TARGETS, method=method)
    with pytest.raises(IndexError):  # the library's own `with` would print an IndexError and go on
        gradcam.maps(one, IMAGES, ROWS, size=64, classes=TARGETS + 100, method="gradcam")
    assert flags == [p.requires_grad for p in one.network.parameters()] and modes == [m.training for m in one.network.modules()]
    assert not any(m._forward_hooks or m._backward_hooks for m in one.network.modules())
    assert all(p.grad is None for p in one.network.parameters())


def test_no_tensor_survives_a_call():
    """What 20 calls leave behind is nothing: the same number of tensors is alive as after one."""
    one, alive = classifier(), []
    for _ in range(3):
        for _ in range(10):
            gradcam.maps(one, IMAGES, ROWS, size=64, classes=TARGETS)
        gc.collect()
        alive.append(sum(torch.is_tensor(thing) for thing in gc.get_objects()))
    assert alive[1] == alive[2]


def test_frozen_stages_change_no_map():
    one = classifier()
    free = gradcam.maps(one, IMAGES, ROWS, size=64, classes=TARGETS)
    one.network.requires_grad_(False)
    assert (gradcam.maps(one, IMAGES, ROWS, size=64, classes=TARGETS) == free).all()


class Overwriting(nn.Module):
    """A network whose activation overwrites what the layer before it gave."""

    feature_info = [dict(module="conv", num_chs=8, reduction=1)]

    def __init__(self, inplace):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.act, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=inplace), nn.Linear(8, 7)

    def forward(self, x):
        return self.head(self.act(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize("method", list(gradcam.METHODS))
def test_in_place_activations_do_not_overwrite_what_is_kept(method):
    heats = [gradcam.maps(models.Classifier(Overwriting(inplace), HALVES, HALVES, "random"), IMAGES, ROWS, size=32, classes=TARGETS, method=method)
             for inplace in (False, True)]
    assert np.array_equal(*heats) and heats[0].max() == 1


def test_one_hot_cell_is_drawn_in_its_middle():
    """A grid that is not half a cell off: the peak of a single cell is its centre, and the whole map is symmetric about it."""
    for cell in range(1, 7):
        cells = torch.zeros(1, 8, 8)
        cells[0, cell, 3] = 1
        heat = gradcam.spread(cells, 64)[0].numpy()
        y, x = np.nonzero(heat == heat.max())
        assert y.mean() == 8 * cell + 3.5 and x.mean() == 8 * 3 + 3.5
    assert gradcam.spread(torch.ones(1, 1, 1), 5).min() == 1


def test_heat_lies_where_the_light_is_and_resizing_would_move_it_half_a_cell():
    one = models.Classifier(Strided(), (0.0,) * 3, (1.0,) * 3, "none")
    ours, naive = [], []
    for place in range(20, 44):
        image = np.zeros((64, 64, 3), np.uint8)
        image[place - 3 : place + 4, place - 3 : place + 4] = 255
        heat = gradcam.maps(one, image[None], [0], size=64, classes=[0], method="hirescam")[0]
        with gradcam.opened(one.network, one.network.body[2], "hirescam", 1) as cam:
            plain = gradcam.spread(gradcam.heat(cam, models.inputs(one, image[None], size=64), torch.tensor([0])), 64)[0].numpy()
        for errors, found in ((ours, heat), (naive, plain)):
            errors.append((found.sum(0) @ np.arange(64)) / found.sum() - place)
    assert abs(np.mean(ours)) < 0.5 and np.mean(naive) == pytest.approx(3.5, abs=0.5), "cells of 8 pixels"


def test_map_of_an_averaged_prediction_turns_with_the_image():
    """Four quarter turns averaged, each map turned back: a turned image gives the turned map. The last view's map alone does not."""
    one, square = classifier(), np.ascontiguousarray(IMAGES[:, :64, :64])
    options = dict(size=64, classes=TARGETS, turns=(0, 1, 2, 3))
    heat = gradcam.maps(one, square, ROWS, **options)
    turned = gradcam.maps(one, np.ascontiguousarray(np.rot90(square, 1, (1, 2))), ROWS, **options)
    assert np.abs(np.rot90(heat, 1, (1, 2)) - turned).max() < 1e-3
    single = gradcam.maps(one, square, ROWS, size=64, classes=TARGETS)
    assert np.abs(single - heat).max() > 0.05


def test_maps_are_the_librarys_but_for_the_grid():
    one = classifier()
    _, layer, about = gradcam.target_layer(one.network, size=64)
    x = models.inputs(one, IMAGES, size=64)
    with gradcam.opened(one.network, layer, "gradcam", about["num_chs"]) as cam:
        ours = gradcam.scaled(gradcam.heat(cam, x, torch.as_tensor(TARGETS)).numpy())
    theirs = GradCAM(one.network, [layer])
    theirs.get_target_width_height = lambda x: None
    plain = theirs(x, [lambda out, c=c: out[c] for c in TARGETS])
    theirs.activations_and_grads.release()
    low = ours.min((1, 2), keepdims=True)
    assert np.allclose((ours - low) / (1 - low), plain, atol=1e-4)


def test_batches_do_not_matter():
    one = classifier()
    heats = [gradcam.maps(one, IMAGES, ROWS, size=64, classes=TARGETS, batch=batch) for batch in (1, 4, 6)]
    assert np.allclose(heats[0], heats[1], atol=1e-4) and np.allclose(heats[0], heats[2], atol=1e-4)


def test_random_weights_are_others_and_the_same_for_one_seed():
    one = classifier()
    first, again, other = (rivals.randomised(one, seed=seed).network.get_classifier().weight for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other) and first.abs().max() > 0


def test_weights_that_are_not_here_are_asked_for(small_project):
    with pytest.raises(FileNotFoundError, match=r"the weights of quick/baseline-s0-f0 are not here"):
        train.trained(presets.configure("quick"))


def test_weights_of_another_key_do_not_count(small_project):
    config = presets.configure("quick")
    home = runs.folder(config)
    home.mkdir(parents=True)
    one = models.create(config)
    torch.save(one.network.state_dict(), home / "weights.pt")
    (home / "key.json").write_text(json.dumps(runs.key(config)))
    assert runs.weights_file(config) is None, "a run without predictions is not finished"
    (home / "predictions.json").write_text(json.dumps({"weights": one.weights}))
    assert train.trained(config).network.training is False
    (home / "predictions.json").write_text(json.dumps({"weights": "other"}))
    with pytest.raises(ValueError, match="set SKIN_WEIGHTS"):
        train.trained(config)
    (home / "key.json").write_text(json.dumps(runs.key(config) | {"recipe": -1}))
    assert runs.weights_file(config) is None


class Looking(nn.Module):
    """Says melanoma where the top left quarter is bright."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(20.0))

    def forward(self, x):
        light = x[:, :, :16, :16].mean((1, 2, 3))
        return torch.stack([light * 0] * 4 + [self.gain * light] + [light * 0] * 2, 1)


def test_lime_finds_the_quarter_that_is_looked_at():
    image = np.full((1, 32, 32, 3), 60, np.uint8)
    image[0, :16, :16] = 220
    image[0, 16:, 16:] = 200
    heat = rivals.lime(models.Classifier(Looking(), (0.0,) * 3, (1.0,) * 3, "none"), image, [0], size=32, classes=[4], segments=16, samples=80)[0]
    assert heat[:16, :16].sum() > 0.6 * heat.sum()


def test_maps_that_know_nothing():
    assert rivals.blob(2, 9)[1].argmax() == 40 and rivals.uniform(1, 3).std() == 0
    views = np.zeros((1, 16, 16, 3), np.uint8)
    views[0, :, 8:] = 255
    assert rivals.edges(views)[0].sum(0).argmax() in (7, 8)
