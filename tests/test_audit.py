"""The audit, the referral rule, the planted shortcut and the classical segmentation, where the truth is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from helpers import audit, data, models, phantom, presets, segment, shortcut, train, trial
from helpers.lesions import MEL

FRAMES = np.full((12, 48, 64, 3), 200, np.uint8)
MASKS = np.hypot(*(np.mgrid[:48, :64] - np.array([23.5, 31.5])[:, None, None])) < 10
FRAMES[:, MASKS] = 90
MASKS = np.repeat(MASKS[None], 12, 0)


class Dark(nn.Module):
    """Melanoma where the picture is dark, by mean (everywhere) or at the upper and lower rim only: a network that leans on ruler marks."""

    def __init__(self, rim):
        super().__init__()
        self.rim, self.gain = rim, nn.Parameter(torch.tensor(60.0))

    def forward(self, x):
        seen = torch.cat([x[:, :, :5], x[:, :, -5:]], 2) if self.rim else x
        odds = self.gain * (0.72 - seen.mean((1, 2, 3)))
        return torch.stack([0 * odds] * MEL + [odds] + [0 * odds] * (6 - MEL), 1)


def classifier(rim):
    return models.Classifier(Dark(rim), (0.0,) * 3, (1.0,) * 3, "none")


@pytest.mark.parametrize("name", audit.CHANGES)
def test_changes_leave_the_original_alone(name):
    before = FRAMES[0].copy()
    out = audit.change(FRAMES[0], MASKS[0], name, seed=1)
    assert out.shape == before.shape and out.dtype == np.uint8 and (FRAMES[0] == before).all()
    assert (audit.change(FRAMES[0], MASKS[0], name, seed=1) == out).all()


def test_hidden_lesions_are_hidden():
    for name in ("lesion_occluded", "background_only"):
        assert (audit.change(FRAMES[0], MASKS[0], name, seed=0) == 200).all()
    left = audit.change(np.where(MASKS[0][..., None], 90, np.arange(64, dtype=np.uint8)[None, :, None]), MASKS[0], "lesion_only", seed=0)
    assert (left[MASKS[0]] == 90).all() and len(np.unique(left[0])) == 1
    assert (audit.change(FRAMES[0], np.zeros((48, 64), bool), "lesion_occluded", seed=0) == FRAMES[0]).all()


def test_the_audit_ranks_and_flags_what_a_network_leans_on():
    """A network that looks at the rim only is moved by rulers, not by what covers the lesion."""
    rows, groups = np.arange(12), np.arange(12)
    before = audit.answers(classifier(True), FRAMES, rows, MASKS, size=48)
    found = {name: audit.effects(before, audit.answers(classifier(True), FRAMES, rows, MASKS, name, size=48))
             for name in ("mirror", "ruler", "lesion_occluded")}
    table = audit.rank(found, groups).set_index("change")
    assert table.loc["ruler", "flagged"] == "yes" and table["flagged"].eq("yes").sum() == 1
    assert table.loc["mirror", "size"] == pytest.approx(0, abs=1e-6) and table.loc["lesion_occluded", "size"] == pytest.approx(0, abs=1e-6)


def test_odds_rise_by_the_factor_they_rise_by():
    before, after = np.full((1, 7), 0.1), np.full((1, 7), 0.1)
    before[0, MEL], after[0, MEL] = 0.2, 1 / 3  # odds 1:4 and 1:2
    assert audit.effects(before, after)["rise"][0] == pytest.approx(np.log(2))


def test_risk_area_is_the_area_of_the_curve():
    generator = np.random.default_rng(0)
    hit, sure = generator.random(50) < 0.7, generator.random(50)
    order = np.argsort(-sure)
    risks = np.cumsum(~hit[order]) / np.arange(1, 51)
    assert audit.risk_area(hit, sure, np.arange(50), n_resamples=2)[0] == pytest.approx(risks.mean())


def test_a_good_rule_wins_and_a_bad_one_loses():
    generator = np.random.default_rng(0)
    hit = generator.random(400) < 0.7
    rules = dict(confidence=hit + generator.normal(0, 0.5, 400), oracle=hit.astype(float), heat=generator.random(400))
    table = audit.referral(hit, rules, np.arange(400) // 2).set_index("rule")
    assert table.loc["oracle", "difference_high"] < 0 < table.loc["heat", "difference_low"] and np.isnan(table.loc["confidence", "difference"])
    assert table.loc["oracle", "risk_kept"] < table.loc["confidence", "risk_kept"] < table.loc["heat", "risk_kept"]


def test_subgroups_say_how_few_they_are():
    frame = pd.DataFrame(dict(group=np.arange(80), sex=["male"] * 50 + ["female"] * 20 + [None] * 10))
    y, p = np.arange(80) % 7, np.eye(7)[np.arange(80) % 7]
    table = audit.subgroups(frame, y, p, np.linspace(0, 1, 80)).set_index("value")
    assert table.loc["male", "note"] == "" and table.loc["female", "note"] == "few lesions" and table.loc["unknown", "images"] == 10
    assert (table["balanced_accuracy"] == 1).all()


def test_detector_knows_a_perfect_and_a_blind_score():
    groups = np.arange(30) // 2
    perfect = trial.detector(np.full(30, 5.0), np.full(30, 1.0), groups, cut=2)
    assert [perfect[key]["value"] for key in ("auc", "found", "false_alarms")] == [1, 1, 0]
    blind = trial.detector(np.full(30, np.nan), np.full(30, np.nan), groups, cut=2)
    assert [blind[key]["value"] for key in ("auc", "found", "false_alarms")] == [0.5, 0, 0]


def test_the_shortcut_is_on_melanoma_and_on_nothing_else(monkeypatch):
    """Counted where it is painted: the painter is asked for rulers exactly as often as there are melanomas, the rest stays as it was."""
    frame = phantom.metadata(40).head(60)
    plain, _ = phantom.generate(frame, size=32)
    present = (frame["dx"] == "mel").to_numpy()
    drawn = shortcut.draw(frame, "ruler", present=present, size=32)
    never = shortcut.draw(frame, "ruler", present=np.zeros(len(frame), bool), size=32)
    assert (drawn[~present] == never[~present]).all() and (drawn[present] != never[present]).any((1, 2, 3)).all()
    assert (never == plain).all((1, 2, 3)).mean() > 0.75, "8 % of all images had a ruler by chance"


def test_a_shortcut_changes_the_run_and_its_default_does_not(small_project):
    plain, planted = presets.configure("quick"), presets.configure("quick", "shortcut")
    assert "shortcut" not in plain.settings() and planted.settings()["shortcut"] == "ruler"
    images, changed = train.load_images(plain), train.load_images(planted)
    is_mel = (data.load_metadata("phantom")["dx"] == "mel").to_numpy()
    assert (images[is_mel] != changed[is_mel]).any((1, 2, 3)).mean() > 0.8
    with pytest.raises(ValueError, match="a shortcut is planted in the phantom only, not in ham10000"):
        train.load_images(replace(planted, source="ham10000"))
    with pytest.raises(ValueError, match="no artefact 'glare'"):
        train.load_images(replace(planted, shortcut="glare"))


def test_marks_are_where_they_were_painted():
    painted, marks = trial.marked(FRAMES, np.arange(3), "ruler", size=48)
    changed = (painted != FRAMES[:3]).any(-1)[:, :, 8:56]
    assert (marks >= (changed & (painted[:, :, 8:56].min(-1) < 150))).mean() > 0.99 and 0 < marks.mean() < 0.3


def test_segmentation_finds_phantom_lesions():
    frame = phantom.metadata(60).groupby("dx").head(6)
    images, masks = phantom.generate(frame, size=72)
    found = segment.overlap(np.stack([segment.lesion(image) for image in images]), masks)
    assert np.median(found) > 0.6
    assert not segment.lesion(np.full((40, 50, 3), 180, np.uint8)).any()
