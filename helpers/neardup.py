"""The near-duplicate search on HAM10000: ``python -m helpers.neardup`` lists pairs for a person to judge."""

import numpy as np

from helpers import data, duplicates, models, paths, presets

TURNS = (0, 1, 2, 3)
ZOOM = 0.65
NEIGHBOURS = 4
SHOWN = 300


def embed(config, images):
    """Pooled features of a pretrained network in four quarter turns and one zoom.

    Parameters
    ----------
    config : TrainConfig
        ``backbone``, ``weights`` and ``image_size`` are used.
    images : (n, h, w, 3) uint8 array

    Returns
    -------
    (5, n, d) float32 array
        View 0 is the plain one.
    """
    classifier = models.create(config, n_classes=0).ready()
    rows = np.arange(len(images))
    h, w = images.shape[1:3]
    top, left = round(h * (1 - ZOOM) / 2), round(w * (1 - ZOOM) / 2)
    plain = [models.predict(classifier, images, rows, size=config.image_size, turns=turn) for turn in TURNS]
    zoomed = models.predict(classifier, images[:, top : h - top, left : w - left], rows, size=config.image_size)
    return np.stack([*plain, zoomed])


def main():
    """Write ``data/cache/ham10000_pairs.csv``: the pairs with most inliers, for eyes and then for ``data/splits``."""
    config = presets.configure("course")
    frame, images = data.load_metadata(config.source), data.load_images(config.source, config.cache_size)
    pairs = duplicates.candidates(embed(config, images), frame["lesion_id"], k=NEIGHBOURS)
    found = duplicates.search(images, pairs).head(SHOWN)
    ids = frame["image_id"].to_numpy()
    found.insert(0, "image_id_a", ids[found.pop("a")])
    found.insert(1, "image_id_b", ids[found.pop("b")])
    file = paths.CACHE / f"{config.source}_pairs.csv"
    found.to_csv(file, index=False)
    print(f"{len(pairs):,} candidates, the {len(found)} best verified ones -> {paths.relative(file)}")


if __name__ == "__main__":
    main()
