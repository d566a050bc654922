"""What lies on the skin but is not skin: hair, ruler marks, gel bubbles, dark corners, ink, painted onto any image."""

import cv2
import numpy as np

ARTEFACTS = ("hair", "ruler", "bubbles", "corners", "ink")


def paint(image, artefact, *, seed):
    """Paint one kind of artefact onto an image.

    Parameters
    ----------
    image : (h, w, 3) uint8 array
        RGB.
    artefact : str
        One of ``ARTEFACTS``.
    seed : int

    Returns
    -------
    image : (h, w, 3) uint8 array
        A new image.
    mask : (h, w) bool array
        Where it was changed noticeably.

    Raises
    ------
    ValueError
        An artefact that cannot be painted.

    Examples
    --------
    >>> painted, mask = paint(np.full((48, 64, 3), 200, np.uint8), "ruler", seed=1)
    >>> bool((painted[~mask] > 180).all()), bool(mask.any())
    (True, True)
    """
    if artefact not in ARTEFACTS:
        raise ValueError(f"no artefact {artefact!r}: choose one of {', '.join(ARTEFACTS)}")
    h, w = image.shape[:2]
    painters = dict(hair=hair, ruler=ruler, bubbles=bubbles, corners=corners, ink=ink)
    alpha, colour = painters[artefact](h, w, np.random.default_rng((seed, ARTEFACTS.index(artefact))))
    painted = image * (1 - alpha[..., None]) + 255 * np.asarray(colour, np.float32) * alpha[..., None]
    return painted.clip(0, 255).round().astype(np.uint8), alpha > 0.2


def hair(h, w, rng):
    """Dark, slightly bent strands of one direction with some spread."""
    alpha = np.zeros((h, w), np.float32)
    direction, colour = rng.uniform(0, np.pi), np.array([0.12, 0.09, 0.07]) * rng.uniform(0.6, 2.2)
    for _ in range(rng.integers(2, 12)):
        angle, length, bend = direction + rng.normal(0, 0.35), h * rng.uniform(0.4, 1.3), rng.normal(0, 0.35)
        t = np.linspace(-0.5, 0.5, 16)
        x = rng.uniform(0, w) + length * (t * np.cos(angle) - bend * t**2 * np.sin(angle))
        y = rng.uniform(0, h) + length * (t * np.sin(angle) + bend * t**2 * np.cos(angle))
        points = (np.stack([x, y], 1) * 16).round().astype(np.int32)
        cv2.polylines(alpha, [points], False, float(rng.uniform(0.35, 0.8)), max(1, round(h * rng.uniform(0.003, 0.008))), cv2.LINE_AA, shift=4)
    return alpha, colour


def ruler(h, w, rng):
    """Black millimetre ticks along one edge, every fifth longer."""
    alpha = np.zeros((h, w), np.float32)
    step, top = h * rng.uniform(0.055, 0.09), rng.random() < 0.5
    for i, x in enumerate(np.arange(rng.uniform(0, step), w, step)):
        length = h * (0.09 if i % 5 == 0 else 0.05)
        y0, y1 = (0.01 * h, 0.01 * h + length) if top else (0.99 * h - length, 0.99 * h)
        ends = [tuple(int(round(v * 16)) for v in point) for point in ((x, y0), (x, y1))]
        cv2.line(alpha, *ends, 0.85, max(1, round(h * 0.008)), cv2.LINE_AA, shift=4)
    return alpha, (0.08, 0.08, 0.1)


def bubbles(h, w, rng):
    """Round gel bubbles with a bright rim."""
    alpha = np.zeros((h, w), np.float32)
    for _ in range(rng.integers(3, 12)):
        centre = (int(rng.uniform(0, w) * 16), int(rng.uniform(0, h) * 16))
        radius = h * rng.uniform(0.015, 0.07)
        cv2.circle(alpha, centre, int(radius * 16), float(rng.uniform(0.45, 0.8)), max(1, round(h * 0.009)), cv2.LINE_AA, shift=4)
        cv2.circle(alpha, (centre[0] - int(radius * 5), centre[1] - int(radius * 5)), int(radius * 4), 0.7, -1, cv2.LINE_AA, shift=4)
    return alpha, (0.97, 0.95, 0.94)


def corners(h, w, rng):
    """The round field of view of the dermatoscope: dark outside."""
    y, x = np.mgrid[:h, :w].astype(np.float32)
    radius = np.hypot(x - w / 2 - rng.normal(0, 0.02 * w), y - h / 2 - rng.normal(0, 0.02 * h)) / (0.5 * np.hypot(h, w))
    edge = rng.uniform(0.82, 0.95)
    return np.clip((radius - edge) / rng.uniform(0.02, 0.08), 0, 0.97).astype(np.float32), (0.03, 0.02, 0.03)


def ink(h, w, rng):
    """Strokes of a violet or blue surgical pen near the edge."""
    alpha = np.zeros((h, w), np.float32)
    side = rng.uniform(0, 2 * np.pi)
    for _ in range(rng.integers(1, 3)):
        angle = side + rng.normal(0, 0.5)
        x, y = w / 2 + 0.47 * w * np.cos(angle), h / 2 + 0.47 * h * np.sin(angle)
        turn, length = rng.uniform(0, np.pi), h * rng.uniform(0.15, 0.35)
        ends = [(int(16 * (x + s * length * np.cos(turn))), int(16 * (y + s * length * np.sin(turn)))) for s in (-0.5, 0.5)]
        cv2.line(alpha, *ends, float(rng.uniform(0.55, 0.8)), max(2, round(h * rng.uniform(0.03, 0.05))), cv2.LINE_AA, shift=4)
    return cv2.GaussianBlur(alpha, (0, 0), max(h * 0.006, 0.5)), (0.30, 0.20, 0.55) if rng.random() < 0.6 else (0.15, 0.25, 0.55)
