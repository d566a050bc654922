"""The pipeline of the leakage lab with its six leaks mended; a comment says what was wrong."""

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupShuffleSplit
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
    # 1. Images of one lesion stay together: the split draws lesions, not images.
    rest, test = cut(frame, seed)
    train, calibrate = (rest[part] for part in cut(frame.iloc[rest], seed + 1))
    x = images.reshape(len(images), -1)
    is_mel = (frame["dx"] == "mel").to_numpy()

    # 2. The mean is fitted on the training images alone.
    mean = x[train].mean(axis=0)
    # 3. The split comes first and augmentation second, on training images alone.
    seen, mirrored = augment(frame.iloc[train], images[train])
    seen_x, seen_y = mirrored.reshape(len(mirrored), -1) - mean, (seen["dx"] == "mel").to_numpy()
    # 4. The generator learns from training melanomas alone.
    generated = invent(seen_x[seen_y], 100, generator)

    # 5. dx_type says how the diagnosis was found, which nobody knows beforehand: "follow_up" means nevus.
    described = OneHotEncoder(handle_unknown="ignore").fit(seen[["sex", SITES]].fillna("unknown"))
    known = described.transform(frame[["sex", SITES]].fillna("unknown")).toarray()
    seen_known = described.transform(seen[["sex", SITES]].fillna("unknown")).toarray()

    train_x = np.vstack([np.hstack([seen_x, seen_known]), np.hstack([generated, np.zeros((len(generated), known.shape[1]))])])
    train_y = np.concatenate([seen_y, np.ones(len(generated), dtype=bool)])
    model = LogisticRegression(C=0.02, max_iter=500).fit(train_x, train_y)
    p = model.predict_proba(np.hstack([x - mean, known]))[:, 1]

    # 6. The threshold is chosen on lesions that are neither trained nor tested on.
    threshold = best_threshold(is_mel[calibrate], p[calibrate])
    return {
        "train_ids": seen["image_id"].tolist(), "test_ids": frame["image_id"].iloc[test].tolist(), "mean": mean, "generated": generated,
        "p": p[test], "threshold": threshold, "score": balanced_accuracy_score(is_mel[test], p[test] >= threshold),
    }


def cut(frame, seed):
    """Positions of about 70 % and 30 % of the images; no lesion is in both."""
    return next(GroupShuffleSplit(test_size=0.3, random_state=seed).split(frame, groups=frame["lesion_id"]))


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
