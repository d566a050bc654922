"""Opponents that see no shapes: logistic regression, classes weighted equally, on metadata or on the mean colour of an image."""

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, StandardScaler

from helpers import data

BACKBONES = ("logistic_metadata", "logistic_colour")


def probabilities(config, frame, rows):
    """Fit on some rows and predict all.

    Parameters
    ----------
    config : TrainConfig
        ``backbone`` chooses: ``logistic_metadata`` (age, sex, site) or ``logistic_colour`` (mean red, green, blue).
    frame : DataFrame
        Metadata, one row per image.
    rows : (m,) int
        Rows to fit on.

    Returns
    -------
    (n, 7) float array in [0, 1]
    """
    if config.backbone == "logistic_metadata":
        inputs = frame[["age", "sex", "localization"]].fillna({"sex": "unknown", "localization": "unknown"})
        age = make_pipeline(SimpleImputer(strategy="median"), KBinsDiscretizer(8, quantile_method="averaged_inverted_cdf"))
        prepare = make_column_transformer((age, ["age"]), (OneHotEncoder(handle_unknown="ignore", min_frequency=5), ["sex", "localization"]))
    else:
        inputs = pd.DataFrame(mean_colours(data.load_images(config.source, config.cache_size)), columns=["red", "green", "blue"])
        prepare = StandardScaler()
    model = make_pipeline(prepare, LogisticRegression(max_iter=2000, class_weight="balanced")).fit(inputs.iloc[rows], frame["dx"].iloc[rows])
    return model.predict_proba(inputs)  # columns in alphabetical order, as CLASSES are


def mean_colours(images, *, chunk=500):
    """(n, 3) means in [0, 255] of (n, h, w, 3) uint8 images, read in chunks."""
    return np.concatenate([np.asarray(images[i : i + chunk]).mean((1, 2)) for i in range(0, len(images), chunk)])
