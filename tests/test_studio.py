"""What is measured of a generator: on the roles it may look at, with sets that are what they are called."""

import numpy as np
import pytest

from helpers import cvae, data, generators, presets, splits, studio, synthesis
from helpers.lesions import CLASSES


class Colours(studio.Studio):
    """A studio whose features are the pixels of tiny copies: no network is needed."""

    def features(self, images):
        return synthesis.thumbnails(images, size=4)


@pytest.fixture
def shop(small_project, monkeypatch):
    painter = generators.generator("quick", "tiny", image_size=32, cache_size=32, width=8, latent=8, epochs=1, per_class=12)
    config = presets.configure("quick", image_size=32, cache_size=32)
    generator = cvae.fit(painter)
    dx = np.repeat(CLASSES, painter.per_class)
    return Colours(config, generator, splits.table(config), np.array(data.load_images("phantom", 32)), cvae.sample(generator, dx), dx, None)


def blackened(shop, *roles):
    """The same studio without the images of some roles."""
    images = shop.images.copy()
    images[shop.rows(*roles)] = 0
    return Colours(shop.config, shop.generator, shop.frame, images, shop.made, shop.dx, None)


def test_nothing_but_the_probe_looks_at_test(shop):
    blind = blackened(shop, "test")
    assert len(shop.bank) == len(shop.rows("train"))
    for measure in (studio.by_class, studio.copies_by_class, lambda one: studio.copies(one, studio.samples(one)[0])[0],
                    lambda one: studio.sweep(one, (), training=False)):
        assert measure(shop).equals(measure(blind))
    assert not studio.taught(shop).equals(studio.taught(blind))


def test_the_probe_never_sees_train(shop):
    assert studio.taught(shop).equals(studio.taught(blackened(shop, "train")))


def test_the_probe_is_compared_with_real_images(shop):
    table = studio.taught(shop).set_index(["trained_on", "tested_on"])
    gap = table.loc[("generated", "real"), "macro_f1"] - table.loc[("real", "real"), "macro_f1"]
    assert table.loc[("generated", "real"), "macro_f1_difference"] == pytest.approx(gap)
    assert table["macro_f1_difference"].notna().tolist() == [False, True, False]


def test_copies_of_train_images_are_found_class_by_class(shop):
    """A generator that hands out train images of one class is caught in that class alone."""
    rows = shop.rows("train")
    rows = rows[shop.frame["dx"].to_numpy()[rows] == "nv"][:12]
    made = shop.made.copy()
    made[shop.dx == "nv"] = synthesis.shrunk(shop.images, rows, 32)
    table = studio.copies_by_class(Colours(shop.config, shop.generator, shop.frame, shop.images, made, shop.dx, None)).set_index(["space", "dx"])
    for space in ("features", "pixels"):
        assert table.loc[(space, "nv"), "nearer"] == 1 and table.loc[(space, "nv"), "ratio"] == 0
        assert (table.loc[space].drop("nv")["ratio"] > 0).all()


def test_a_sweep_names_what_it_measured(shop):
    table = studio.sweep(shop, (), training=False).set_index("generator")
    assert table.index.tolist() == ["tiny", "without texture", "temperature 0.7"]
    sets = studio.samples(shop)[0]
    again = cvae.reconstruct(shop.generator, sets["held out"].images, sets["held out"].dx).astype(float)
    assert table.loc["tiny", "pixel_error"] == pytest.approx(np.sqrt(np.square(again - sets["held out"].images).mean()))


def test_without_images_the_published_measurements_are_shown(small_project, monkeypatch, capsys):
    monkeypatch.setattr(data, "available", lambda source: False)
    assert studio.enter(presets.configure("quick"), generators.generator("quick"), training=True) is None
    assert "the published measurements are shown instead" in capsys.readouterr().out
