"""Scores of heatmaps, on maps made by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from scipy.stats import spearmanr
from torch import nn

from helpers import intervals, metrics, models, rivals, saliency

SIDE = 24
DISC = np.hypot(*(np.mgrid[:SIDE, :SIDE] - 11.5)) < 6


def test_perfect_and_opposite_maps():
    maps, masks = np.stack([DISC, ~DISC]).astype(np.float32), np.stack([DISC, DISC])
    assert saliency.pointing(maps, masks).tolist() == [1, 0] and saliency.energy(maps, masks).tolist() == [1, 0]
    assert saliency.iou(maps, masks).tolist() == [1, 0]


def test_an_even_spread_scores_chance():
    share = DISC.mean()
    for score in (saliency.pointing, saliency.energy):
        assert score(rivals.uniform(1, SIDE), DISC[None])[0] == pytest.approx(share)
    assert saliency.iou(rivals.uniform(1, SIDE), DISC[None])[0] == pytest.approx(share / (2 - share))


def test_no_heat_or_no_mask_is_undefined():
    maps, masks = np.stack([np.zeros((SIDE, SIDE)), np.ones((SIDE, SIDE))]), np.stack([DISC, np.zeros_like(DISC)])
    assert saliency.score(maps, masks).isna().all().all()


@given(st.integers(0, 10**6), st.floats(0.05, 0.95))
def test_random_maps_score_chance_on_average(seed, share):
    generator = np.random.default_rng(seed)
    masks, maps = generator.random((60, 12, 12)) < share, generator.random((60, 12, 12))
    assert np.nanmean(saliency.energy(maps, masks)) == pytest.approx(share, abs=0.08)
    found = saliency.iou(maps, masks)
    assert np.nanmin(found) >= 0 and np.nanmax(found) <= 1


def test_grown_masks_hold_the_masks():
    grown = saliency.grow(DISC[None])[0]
    radii = [np.sqrt(mask.sum() / np.pi) for mask in (DISC, grown)]
    assert (grown >= DISC).all() and radii[1] / radii[0] == pytest.approx(1.25, abs=0.1)


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_imputation_is_the_librarys(share):
    generator = np.random.default_rng(1)
    image, kept = generator.normal(size=(3, 20, 22)).astype(np.float32), generator.random((20, 22)) < share
    theirs = NoisyLinearImputer(noise=0)(torch.from_numpy(image), torch.from_numpy(kept.astype(np.float32))).numpy()
    assert np.allclose(saliency.impute(image, kept), theirs, atol=1e-5)


class Looking(nn.Module):
    """Says melanoma where the top left quarter is bright."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(8.0))

    def forward(self, x):
        light = x[:, :, :12, :12].mean((1, 2, 3))
        return torch.stack([light * 0] * 4 + [self.gain * (light - 0.5)] + [light * 0] * 2, 1)


def test_road_knows_what_the_network_looks_at():
    looking = models.Classifier(Looking(), (0.0,) * 3, (1.0,) * 3, "none")
    image = np.full((1, SIDE, SIDE, 3), 40, np.uint8)
    image[0, :12, :12] = 240
    right = np.zeros((1, SIDE, SIDE), np.float32)
    right[0, :12, :12] = 1
    wrong = right[:, ::-1, ::-1]
    scores = [saliency.road(looking, image, [0], maps, size=SIDE, classes=[4])[0] for maps in (right, rivals.uniform(1, SIDE), wrong)]
    assert scores[2] < scores[1] < scores[0] and scores[0] > 0.1 and abs(scores[1]) < 0.1


def test_agreement_is_spearmans():
    one, two = np.random.default_rng(0).random((2, 3, 8, 8))
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(one, two, strict=True)]
    assert np.allclose(saliency.agreement(one, two, blocks=8), expected, atol=1e-6)
    assert np.isnan(saliency.agreement(rivals.uniform(1, 8), one[:1])).all()


def test_intervals_are_those_of_the_bootstrap_of_lesions():
    """On a 0/1 column the summary is metrics' accuracy, interval included: one bootstrap for both."""
    generator = np.random.default_rng(0)
    y, groups = generator.integers(7, size=80), generator.integers(40, size=80)
    p = np.eye(7)[generator.integers(7, size=80) * (generator.random(80) < 0.5) + y * 0]
    expected = metrics.summary(y, p, groups, keys=("accuracy",))["accuracy"]
    found = intervals.summary(pd.DataFrame(dict(a=(p.argmax(1) == y).astype(float))), groups)["a"]
    assert found == pytest.approx(expected)


def test_masks_follow_the_networks_view():
    mask = np.zeros((1, 30, 40), bool)
    mask[0, :, :5] = True  # left of the central square
    assert not saliency.views(mask, [0], size=30).any()
    mask[0, :, 5:20] = True
    assert saliency.views(mask, [0], size=30)[0, :, :15].all()
