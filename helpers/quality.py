"""Simple measurements of dermatoscopic images: light, sharpness, dark corners, hair, mean colour."""

import cv2
import numpy as np
import pandas as pd

DARK = 40


def measure(images):
    """Describe every image by a few numbers.

    Parameters
    ----------
    images : (n, h, w, 3) uint8 array
        RGB.

    Returns
    -------
    DataFrame, n rows
        ``red, green, blue`` and ``brightness``: means in [0, 1]; ``sharpness``: variance of the Laplacian of the grey
        image in [0, 1] units; ``corners``: fraction of the four corner areas that is nearly black; ``hair``: fraction of
        pixels in thin dark lines (black-hat of the grey image above 0.1).

    References
    ----------
    Lee et al. (1997), DullRazor: a software approach to hair removal from images, Comput. Biol. Med. 27 (black-hat idea).

    Examples
    --------
    >>> measure(np.zeros((1, 48, 64, 3), np.uint8))[["brightness", "corners"]].iloc[0].tolist()
    [0.0, 1.0]
    """
    return pd.DataFrame([describe(np.asarray(image)) for image in images])


def describe(image):
    """The measurements of one (h, w, 3) uint8 image, as a dict."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    red, green, blue = image.reshape(-1, 3).mean(0) / 255
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    lines = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, kernel) > 0.1 * 255
    return dict(red=red, green=green, blue=blue, brightness=grey.mean() / 255, sharpness=cv2.Laplacian(grey / 255, cv2.CV_64F).var(),
                corners=float((corners(grey) < DARK).mean()), hair=float(lines.mean()))


def corners(grey):
    """Pixels of the four corner squares, a tenth of the height wide, of a (h, w) image."""
    d = max(grey.shape[0] // 10, 1)
    return np.stack([grey[:d, :d], grey[:d, -d:], grey[-d:, :d], grey[-d:, -d:]])
