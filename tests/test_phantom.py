"""The phantom: one seed gives one picture, masks tell the truth, and the task is neither trivial nor noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from helpers import artefacts, data, dermatoscope, opponents, phantom, presets, splits
from helpers.lesions import CLASSES

seeds = st.integers(0, 2**31 - 1)


@settings(max_examples=15)
@given(st.sampled_from(CLASSES), seeds, seeds, st.integers(32, 80))
def test_one_seed_gives_one_picture(dx, lesion_seed, view_seed, size):
    one, two = (dermatoscope.draw(dx, lesion_seed=lesion_seed, view_seed=view_seed, size=size) for _ in range(2))
    assert (one.image == two.image).all() and (one.mask == two.mask).all() and one.parameters == two.parameters
    assert one.image.shape == (size, round(size * 4 / 3), 3) and one.image.dtype == np.uint8
    assert 0.005 < one.mask.mean() < 0.95 and set(one.artefacts) == set(one.parameters["artefacts"])


def test_mask_lies_where_the_lesion_was_drawn():
    """The same view with the lesion's own colours against one whose lesion is transparent would differ on the mask only; pigment shows it."""
    differences = []
    for seed in range(20):
        picture = dermatoscope.draw("mel", lesion_seed=seed, view_seed=1, size=96, artefacts=())
        inside, outside = picture.image[picture.mask].mean(), picture.image[~picture.mask].mean()
        differences.append(outside - inside)
    assert min(differences) > 10, "a melanoma is darker than the skin around it"


@pytest.mark.parametrize("name", artefacts.ARTEFACTS)
def test_artefacts_change_their_mask_and_little_else(name):
    image = np.full((96, 128, 3), 180, np.uint8)
    for seed in range(10):
        painted, mask = artefacts.paint(image, name, seed=seed)
        change = np.abs(painted.astype(int) - image).max(-1)
        assert (painted == artefacts.paint(image, name, seed=seed)[0]).all()
        if mask.any():
            assert change[mask].mean() > 10 and change[~mask].max() <= 0.2 * 180 + 1
    with pytest.raises(ValueError, match="no artefact 'glare'"):
        artefacts.paint(image, "glare", seed=0)


def test_views_of_one_lesion_resemble_each_other_more_than_other_lesions():
    def look(lesion, view):
        picture = dermatoscope.draw("nv", lesion_seed=lesion, view_seed=view, size=64, artefacts=())
        return np.r_[picture.image[picture.mask].mean(0), picture.image[picture.mask].std(0)]

    first, second = (np.stack([look(lesion, view) for lesion in range(12)]) for view in (1, 2))
    distance = np.linalg.norm(first[:, None] - second[None], axis=-1)
    assert (distance.argsort(1).argsort(1).diagonal() <= 1).mean() >= 0.6


def test_frequencies_follow_ham10000():
    frame = phantom.metadata(10_015)
    share = frame["dx"].value_counts(normalize=True)
    for dx, count in phantom.PUBLISHED.items():
        assert share[dx] == pytest.approx(count / 10_015, abs=0.01)
    assert frame.groupby("lesion_id")["dx"].nunique().max() == 1 and frame["image_id"].is_unique
    assert frame["lesion_id"].nunique() / len(frame) == pytest.approx(7470 / 10_015, abs=0.03)
    assert (frame.loc[frame["dx_type"] == "follow_up", "dx"] == "nv").all()
    assert frame.groupby("dx")["age"].median()["nv"] < frame.groupby("dx")["age"].median()["bcc"]


def test_colour_alone_is_informative_but_not_enough():
    """A linear model on the mean colour scores 0.30-0.60 balanced accuracy on the test role; guessing would give 0.14."""
    config = presets.configure("quick")
    frame = splits.table(config)
    colours = opponents.mean_colours(data.load_images("phantom", config.cache_size)) / 255
    fit, test = (frame["role"] == "train").to_numpy(), (frame["role"] == "test").to_numpy()
    model = LogisticRegression(C=100, class_weight="balanced", max_iter=5000).fit(colours[fit], frame["dx"][fit])
    assert 0.30 <= balanced_accuracy_score(frame["dx"][test], model.predict(colours[test])) <= 0.60
