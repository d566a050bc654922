"""A procedural dermatoscope: lesions that follow the ABCD rule, with exact masks of lesion and artefacts."""

from dataclasses import dataclass

import cv2
import numpy as np

from helpers.artefacts import ARTEFACTS, paint

CANVAS, REACH = 160, 1.7  # the lesion is drawn once on a canvas that reaches 1.7 of its radii
ARTEFACT_SHARE = dict(hair=0.18, ruler=0.08, bubbles=0.12, corners=0.12, ink=0.04)


@dataclass(frozen=True)
class Look:
    """How a class tends to look; ranges are uniform, chances are probabilities, colours RGB in [0, 1].

    ``colour`` and ``spread`` (of its lightness), ``opacity`` over the skin, ``asymmetry``, ``border`` irregularity,
    ``edge`` softness in radii, number of further ``colours``, ``flush`` of the skin
    around, and chances of the structures.
    """

    colour: tuple
    spread: float
    opacity: tuple
    asymmetry: tuple
    border: tuple
    edge: tuple
    colours: tuple
    flush: float = 0.0
    network: float = 0.0
    globules: float = 0.0
    veil: float = 0.0
    cysts: float = 0.0
    vessels: float = 0.0
    lacunae: float = 0.0
    scar: float = 0.0
    scales: float = 0.0
    nests: float = 0.0


LOOKS = {
    "nv": Look((0.47, 0.28, 0.22), 0.15, (0.65, 0.95), (0.02, 0.13), (0.0, 0.04), (0.2, 0.55), (0, 1), network=0.75, globules=0.3, veil=0.02, cysts=0.04),
    "mel": Look((0.30, 0.19, 0.18), 0.25, (0.75, 1.0), (0.08, 0.32), (0.02, 0.13), (0.08, 0.35), (1, 3), network=0.5, globules=0.6, veil=0.6, vessels=0.1),
    "bkl": Look((0.60, 0.42, 0.26), 0.16, (0.6, 0.95), (0.05, 0.2), (0.01, 0.07), (0.03, 0.14), (0, 1), network=0.12, cysts=0.85, globules=0.1, scales=0.1),
    "bcc": Look((0.78, 0.46, 0.45), 0.10, (0.4, 0.75), (0.05, 0.22), (0.0, 0.06), (0.25, 0.6), (0, 1), flush=0.05, vessels=0.9, nests=0.65, scales=0.1),
    "akiec": Look((0.80, 0.42, 0.40), 0.10, (0.4, 0.8), (0.06, 0.22), (0.01, 0.08), (0.25, 0.6), (0, 1), flush=0.09, scales=0.9, vessels=0.1, globules=0.08),
    "df": Look((0.58, 0.38, 0.33), 0.12, (0.45, 0.85), (0.02, 0.10), (0.0, 0.03), (0.4, 0.8), (0, 0), flush=0.02, network=0.5, scar=0.9),
    "vasc": Look((0.62, 0.10, 0.24), 0.15, (0.75, 1.0), (0.02, 0.16), (0.0, 0.04), (0.06, 0.25), (0, 1), flush=0.03, lacunae=0.9, veil=0.1),
}
EXTRA = ((0.30, 0.19, 0.15), (0.18, 0.12, 0.11), (0.42, 0.42, 0.50), (0.66, 0.38, 0.35), (0.72, 0.55, 0.42), (0.82, 0.74, 0.70))


@dataclass(frozen=True)
class Picture:
    """One drawn image with its truth.

    Attributes
    ----------
    image : (h, w, 3) uint8 RGB
    mask : (h, w) bool
        The lesion.
    artefacts : dict of str to (h, w) bool
        Where each artefact was painted.
    parameters : dict
        What was drawn: structures, pose, zoom, artefacts.
    """

    image: np.ndarray
    mask: np.ndarray
    artefacts: dict
    parameters: dict


def draw(dx, *, lesion_seed, view_seed, size, artefacts=None):
    """Draw one image.

    Parameters
    ----------
    dx : str
    lesion_seed, view_seed : int
        The same lesion seed gives the same lesion, seen in another pose, zoom and light under another view seed.
    size : int
        Short side in pixels.
    artefacts : tuple of str, optional
        Exactly these; drawn by chance where left out.

    Returns
    -------
    Picture
    """
    h, w = size, round(size * 4 / 3)
    rng, view = np.random.default_rng(lesion_seed), np.random.default_rng((lesion_seed, view_seed))
    canvas, alpha, structures = lesion(LOOKS[dx], rng)
    radius = h * np.clip(rng.normal(0.33, 0.07), 0.18, 0.50) * view.uniform(0.85, 1.2)
    pose = dict(x=w / 2 + view.normal(0, 0.06 * h), y=h / 2 + view.normal(0, 0.06 * h), angle=view.uniform(0, 360), radius=radius)
    place = cv2.getRotationMatrix2D((CANVAS / 2, CANVAS / 2), pose["angle"], radius * 2 * REACH / CANVAS)
    place[:, 2] += np.array([pose["x"], pose["y"]]) - CANVAS / 2
    alpha = cv2.warpAffine(alpha, place, (w, h), flags=cv2.INTER_LINEAR)
    canvas = cv2.warpAffine(canvas, place, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    picture = skin(h, w, rng, view)
    picture -= LOOKS[dx].flush * cv2.GaussianBlur(alpha, (0, 0), 0.12 * h)[..., None] * np.array([0.0, 2.2, 1.6], np.float32)
    picture += alpha[..., None] * (canvas - picture)
    image = expose(picture, view)
    masks = {}
    for name in [a for a in ARTEFACTS if view.random() < ARTEFACT_SHARE[a]] if artefacts is None else artefacts:
        image, masks[name] = paint(image, name, seed=view_seed)
    return Picture(image, alpha > 0.25, masks, dict(dx=dx, structures=structures, artefacts=tuple(masks), **pose))


def skin(h, w, rng, view):
    """Skin with its tone, mottling, fine texture and a few small vessels."""
    tone = np.array([0.90, 0.68, 0.65]) * rng.uniform(0.93, 1.06) + rng.normal(0, 0.012, 3)
    mottle = 0.012 * smooth(view, h, w, 7) + 0.02 * smooth(view, h, w, max(h // 5, 8)) + 0.012 * smooth(view, h, w, max(h // 2, 8))
    return (tone + mottle[..., None] * np.array([0.6, 1.0, 1.0])).astype(np.float32)


def expose(picture, view):
    """Uneven light, white balance, slight blur and sensor noise; float in [0, 1] to uint8."""
    h, w = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    tilt = view.normal(0, 0.04, 2)
    light = view.uniform(0.94, 1.06) * (1 + tilt[0] * x + tilt[1] * y - view.uniform(0, 0.12) * (x**2 + y**2))
    picture = picture * light[..., None] * view.normal(1, 0.015, 3)
    picture = cv2.GaussianBlur(picture, (0, 0), h * view.uniform(0.001, 0.006) + 0.15)
    return (255 * (picture + view.normal(0, 0.008, picture.shape))).clip(0, 255).astype(np.uint8)


def smooth(rng, h, w, cells):
    """Smooth noise of unit variance with about ``cells`` bumps over the height, (h, w) float32."""
    coarse = rng.normal(size=(cells, max(round(cells * w / h), 2))).astype(np.float32)
    return cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC) * 1.2


def lesion(look, rng):
    """Draw a lesion on its own canvas: RGB (CANVAS, CANVAS, 3), opacity (CANVAS, CANVAS), names of its structures."""
    y, x = np.mgrid[-REACH : REACH : CANVAS * 1j, -REACH : REACH : CANVAS * 1j].astype(np.float32)
    inside = outline(x, y, look, rng)
    edge = rng.uniform(*look.edge)
    alpha = np.clip(0.5 + inside / edge, 0, 1) ** 1.5 * rng.uniform(*look.opacity)
    colour = np.array(look.colour) * np.clip(1 + rng.normal(0, look.spread), 0.55, 1.5) + rng.normal(0, 0.025, 3)
    canvas = np.broadcast_to(colour, (CANVAS, CANVAS, 3)).astype(np.float32).copy()
    canvas *= (1 + 0.10 * smooth(rng, CANVAS, CANVAS, 5) + 0.06 * smooth(rng, CANVAS, CANVAS, 20))[..., None]
    for _ in range(rng.integers(look.colours[0], look.colours[1] + 1)):
        patch = np.clip(1.5 * smooth(rng, CANVAS, CANVAS, 4) - 0.6, 0, 1)
        canvas = blend(canvas, EXTRA[rng.integers(len(EXTRA))], 0.8 * patch)
    drawn = [name for name in STRUCTURES if rng.random() < getattr(look, name)]
    for name in drawn:
        canvas = STRUCTURES[name](canvas, x, y, inside, look, rng)
    return canvas, alpha.astype(np.float32), tuple(drawn)


def outline(x, y, look, rng):
    """Signed distance-like field: positive inside the lesion, 0 at its border, in radii."""
    angle, radius = np.arctan2(y, x), np.hypot(x, y * rng.uniform(1.0, 1.35))
    border = np.ones_like(x)
    asymmetry, irregular = rng.uniform(*look.asymmetry), rng.uniform(*look.border)
    for k in (1, 2, 3):
        border += asymmetry / k * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    for k in range(5, 14):
        border += irregular * rng.normal(0, 2.2 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    return border - radius


def blend(canvas, colour, alpha):
    """Mix a colour into the canvas with an opacity in [0, 1]."""
    return canvas + alpha[..., None].astype(np.float32) * (np.asarray(colour, np.float32) - canvas)


def spots(rng, number, radius, inside, *, least=0.15, soft=1.0):
    """Discs at random places inside the lesion, as an opacity map."""
    field = np.zeros((CANVAS, CANVAS), np.float32)
    ys, xs = np.nonzero(inside > least)
    if len(ys):
        for i in rng.integers(len(ys), size=number):
            cv2.circle(field, (int(xs[i]) * 8, int(ys[i]) * 8), int(8 * rng.uniform(*radius)), float(rng.uniform(0.5, 1.0)), -1, cv2.LINE_AA, shift=3)
    return cv2.GaussianBlur(field, (0, 0), soft)


def network(canvas, x, y, inside, look, rng):
    """Pigment network: a bent hexagonal mesh, patchy and coarse where the class is irregular."""
    rough = rng.uniform(*look.border) * 8
    u = x + (0.04 + 0.10 * rough) * smooth(rng, CANVAS, CANVAS, 6)
    v = y + (0.04 + 0.10 * rough) * smooth(rng, CANVAS, CANVAS, 6)
    k = 2 * np.pi * rng.uniform(3.2, 5.5)
    mesh = sum(np.cos(k * (u * np.cos(a) + v * np.sin(a))) for a in (0, np.pi / 3, 2 * np.pi / 3))
    patch = np.clip(0.8 + rough * 1.2 * smooth(rng, CANVAS, CANVAS, 4), 0, 1)
    return blend(canvas, canvas.mean((0, 1)) * 0.5, np.clip(0.3 - 0.4 * mesh, 0, 1) * patch * rng.uniform(0.35, 0.8))


def globules(canvas, x, y, inside, look, rng):
    """Brown to black dots and globules."""
    field = spots(rng, rng.integers(8, 45), (1.0, 3.6), inside, soft=0.7)
    return blend(canvas, np.array([0.22, 0.14, 0.11]) * rng.uniform(0.6, 1.5), 0.85 * field)


def veil(canvas, x, y, inside, look, rng):
    """Blue-white veil: a milky blue patch off the centre."""
    distance = np.hypot(x - rng.uniform(-0.4, 0.4), y - rng.uniform(-0.4, 0.4))
    patch = np.clip(rng.uniform(0.6, 1.1) - distance + 0.2 * smooth(rng, CANVAS, CANVAS, 5), 0, 0.8)
    return blend(canvas, (0.40, 0.44, 0.56), patch)


def cysts(canvas, x, y, inside, look, rng):
    """Milia-like cysts (white dots) and comedo-like openings (dark, round)."""
    canvas = blend(canvas, (0.88, 0.80, 0.70), 0.8 * spots(rng, rng.integers(6, 25), (1.0, 3.0), inside))
    return blend(canvas, (0.28, 0.18, 0.13), 0.8 * spots(rng, rng.integers(3, 18), (1.5, 4.0), inside))


def vessels(canvas, x, y, inside, look, rng):
    """Arborising vessels: red branching lines."""
    field = np.zeros((CANVAS, CANVAS), np.float32)
    for _ in range(rng.integers(2, 6)):
        start, angle = rng.uniform(0.25, 0.75, 2) * CANVAS, rng.uniform(0, 2 * np.pi)
        for _ in range(rng.integers(2, 5)):
            angles = angle + np.cumsum(rng.normal(0, 0.25, 14)) + rng.normal(0, 0.5)
            path = start + np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1) * CANVAS / 45, 0)
            cv2.polylines(field, [(path * 8).astype(np.int32)], False, float(rng.uniform(0.5, 0.9)), int(rng.integers(1, 3)), cv2.LINE_AA, shift=3)
            start = path[rng.integers(3, 10)]
    return blend(canvas, (0.62, 0.16, 0.18), cv2.GaussianBlur(field, (0, 0), 0.6))


def lacunae(canvas, x, y, inside, look, rng):
    """Red, purple or nearly black lakes, separated by paler bands."""
    canvas = blend(canvas, (0.75, 0.42, 0.42), 0.5 * np.ones_like(x))
    return blend(canvas, np.array([0.50, 0.08, 0.16]) * rng.uniform(0.5, 1.4), 0.9 * spots(rng, rng.integers(12, 40), (5.0, 13.0), inside, soft=2.0))


def scar(canvas, x, y, inside, look, rng):
    """Central white, scar-like patch."""
    distance = np.hypot(x, y) + 0.12 * smooth(rng, CANVAS, CANVAS, 6)
    return blend(canvas, (0.88, 0.76, 0.70), np.clip(1.3 * (rng.uniform(0.4, 0.75) - distance), 0, 0.8))


def scales(canvas, x, y, inside, look, rng):
    """Whitish scale and red dots on a pink ground."""
    patch = np.clip(1.5 * smooth(rng, CANVAS, CANVAS, 12) - 0.9, 0, 0.8)
    canvas = blend(canvas, (0.90, 0.82, 0.74), patch)
    return blend(canvas, (0.62, 0.22, 0.22), 0.6 * spots(rng, rng.integers(20, 80), (0.7, 1.6), inside, soft=0.6))


def nests(canvas, x, y, inside, look, rng):
    """Blue-grey ovoid nests."""
    return blend(canvas, (0.36, 0.33, 0.40), 0.8 * spots(rng, rng.integers(2, 9), (4.0, 10.0), inside, soft=2.0))


STRUCTURES = dict(network=network, globules=globules, veil=veil, cysts=cysts, vessels=vessels, lacunae=lacunae, scar=scar, scales=scales, nests=nests)
