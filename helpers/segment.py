"""A lesion mask where none is given: classical, without learning, and no better than its measured overlap."""

import cv2
import numpy as np

DARK = 40  # brightest channel below which a pixel near the rim is the dermatoscope, not skin
BLUE = 2


def lesion(frame):
    """Otsu's threshold on the blue channel, in which pigment and blood are dark; the most central of the dark regions, filled.

    Parameters
    ----------
    frame : (h, w, 3) uint8 array

    Returns
    -------
    (h, w) bool array
        Empty where nothing is darker than the rest.

    References
    ----------
    Otsu (1979), A threshold selection method from gray-level histograms, IEEE Trans. SMC 9.
    Celebi et al. (2009), Lesion border detection in dermoscopy images, Comput. Med. Imaging Graph. 33 (why blue).

    Examples
    --------
    >>> frame = np.full((60, 80, 3), 200, np.uint8)
    >>> frame[20:40, 30:50] = 90
    >>> int(lesion(frame).sum()) in range(330, 420)
    True
    """
    h, w = frame.shape[:2]
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    radius = np.hypot(x, y)
    usable = (frame.max(-1) > DARK) | (radius < 0.8)
    blue = cv2.GaussianBlur(cv2.medianBlur(np.ascontiguousarray(frame), 5), (0, 0), h / 75)[..., BLUE]
    cut, _ = cv2.threshold(blue[usable][:, None], 0, 255, cv2.THRESH_OTSU)
    dark = ((blue <= cut) & usable & (blue < blue.max())).astype(np.uint8)
    dark = cv2.morphologyEx(dark, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    count, label = cv2.connectedComponents(dark)
    if count < 2:
        return np.zeros((h, w), bool)
    central = np.bincount(label.ravel(), weights=np.exp(-2 * radius**2).ravel())
    best = (label == 1 + central[1:].argmax()).astype(np.uint8)
    borders, _ = cv2.findContours(best, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(best, borders, -1, 1, -1).astype(bool)


def overlap(one, two):
    """Intersection over union of two sets of masks (n, h, w) bool: (n,) float; nan where both are empty.

    Examples
    --------
    >>> overlap(np.array([[[True, True]]]), np.array([[[True, False]]])).tolist()
    [0.5]
    """
    both, either = ((f(one, two)).sum((1, 2)) for f in (np.logical_and, np.logical_or))
    return both / np.where(either > 0, either, np.nan)
