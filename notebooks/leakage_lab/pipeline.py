"""Melanoma or not, from thumbnails and metadata: a small pipeline with six leaks.

Together they make the score look better than it is. Find them, mend them, and ask the checker how many of your mends hold:

    python -m helpers.lab notebooks/leakage_lab/pipeline.py

Change whatever you like, but keep ``run`` and the names that it returns.
"""

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import OneHotEncoder

SITES = "localization"


def run(frame, images, *, seed=0):
    """Train, choose a threshold, test.

    Parameters
    ----------
    frame : DataFrame
        HAM10000's columns, one row per image: ``image_id, lesion_id, dx, dx_type, age, sex, localization``.
    images : (n, h, w, 3) float array in [0, 1]
    seed : int

    Returns
    -------
    dict
        ``train_ids``, ``test_ids``: image id of every row that was trained on or tested on; ``mean``: what is subtracted from
        pixels; ``generated``: (m, d) invented melanomas that were trained on; ``p``: (test rows,) probabilities of melanoma;
        ``threshold``; ``score``: balanced accuracy on test.
    """
    generator = np.random.default_rng(seed)
    frame, images = augment(frame, images)

    test = generator.random(len(frame)) < 0.3
    x = images.reshape(len(images), -1)
    is_mel = (frame["dx"] == "mel").to_numpy()

    mean = x.mean(axis=0)
    x = x - mean
    generated = invent(x[is_mel], 100, generator)

    described = OneHotEncoder(handle_unknown="ignore").fit(frame.loc[~test, ["sex", SITES, "dx_type"]].fillna("unknown"))
    known = described.transform(frame[["sex", SITES, "dx_type"]].fillna("unknown")).toarray()
    blank = np.zeros((len(generated), known.shape[1]))

    train_x = np.vstack([np.hstack([x[~test], known[~test]]), np.hstack([generated, blank])])
    train_y = np.concatenate([is_mel[~test], np.ones(len(generated), dtype=bool)])
    model = LogisticRegression(C=0.02, max_iter=500).fit(train_x, train_y)

    p = model.predict_proba(np.hstack([x[test], known[test]]))[:, 1]
    threshold = best_threshold(is_mel[test], p)
    return {
        "train_ids": frame.loc[~test, "image_id"].tolist(), "test_ids": frame.loc[test, "image_id"].tolist(), "mean": mean, "generated": generated,
        "p": p, "threshold": threshold, "score": balanced_accuracy_score(is_mel[test], p >= threshold),
    }


def augment(frame, images):
    """Every image and its mirror image."""
    return pd.concat([frame, frame], ignore_index=True), np.concatenate([images, images[:, :, ::-1]])


def invent(x, n, generator):
    """New rows with the mean and the main directions of variation of some rows."""
    directions = PCA(n_components=min(10, len(x) - 1), svd_solver="full").fit(x)
    return directions.inverse_transform(generator.normal(size=(n, directions.n_components_)) * np.sqrt(directions.explained_variance_))


def best_threshold(is_mel, p):
    """The threshold with the best balanced accuracy."""
    cuts = np.unique(p)
    return cuts[np.argmax([balanced_accuracy_score(is_mel, p >= cut) for cut in cuts])]
