"""Every setting of a training run, the frozen presets, and the arms of the ablations."""

from dataclasses import dataclass, fields, replace

from helpers.generators import GENERATORS, changed, generator


@dataclass(frozen=True)
class TrainConfig:
    """All that decides a training run, besides the data, the split and the weights.

    A field at its default does not enter the run's key, so that a field added later leaves
    finished runs valid.

    Attributes
    ----------
    preset, arm : str
        Names; the plain arm is ``baseline``.
    seed, fold : int
        Fold 0-4 chooses the roles (see :func:`helpers.splits.roles`).
    source : str
        ``phantom`` or ``ham10000``.
    image_size, cache_size : int
        Side of the network's square input, and short side of the cached full frames, in pixels.
    backbone, weights : str
        Any timm model name; ``imagenet`` or ``random``.
    epochs, batch_size : int
    lr, weight_decay, dropout, label_smoothing : float
        Peak learning rate of AdamW under one cycle; fractions in [0, 1] for the last two.
    ema : float
        Decay per step of the averaged weights that are evaluated; 0 turns averaging off.
    loss : str
        ``ce``, ``focal`` or ``logit_adjusted``.
    class_weight : str
        ``none``, ``balanced``, ``sqrt`` or ``effective``.
    mel_weight : float
        Extra factor on the melanoma class.
    sampler : str
        ``shuffle`` (every image once an epoch) or ``balanced`` (classes drawn equally often).
    select_metric : str
        Any key of :func:`helpers.metrics.scores`; the best epoch on the select role is kept.
    scale, colour : float
        Half-widths of the random zoom (a ratio) and of the random colour changes (a fraction).
    leak : bool
        Put siblings of test images into training, at equal training size (notebook 02 only).
    generated : str
        Generated images to train with: a generator (key of ``GENERATORS``) or an imported collection; empty for none.
    per_class, oversample : int
        Generated images, and repeated real ones, that join each minority class (every class but the most frequent one). They are mixed into
        the same number of optimiser steps as without them.
    randaug : int
        Magnitude of RandAugment, 0-10; 0 for none.
    mixup : float
        Parameter of mixup, which half of the batches get, CutMix the others; 0 for neither.
    shortcut : str
        Artefact painted on every melanoma and on nothing else, phantom only (notebook 07 only); empty for none.
    """

    preset: str = "quick"
    arm: str = "baseline"
    seed: int = 0
    fold: int = 0
    source: str = "phantom"
    image_size: int = 64
    cache_size: int = 72
    backbone: str = "test_resnet"
    weights: str = "random"
    epochs: int = 12
    batch_size: int = 32
    lr: float = 5e-3
    weight_decay: float = 0.02
    dropout: float = 0.0
    label_smoothing: float = 0.0
    ema: float = 0.95
    loss: str = "ce"
    class_weight: str = "none"
    mel_weight: float = 1.0
    sampler: str = "shuffle"
    select_metric: str = "macro_f1"
    scale: float = 0.2
    colour: float = 0.1
    leak: bool = False
    generated: str = ""
    per_class: int = 0
    oversample: int = 0
    randaug: int = 0
    mixup: float = 0.0
    shortcut: str = ""

    @property
    def name(self):
        """Name of the run: ``<arm>-s<seed>-f<fold>``."""
        return f"{self.arm}-s{self.seed}-f{self.fold}"

    @property
    def collection(self):
        """Folder name of the generated images; a generator has one for each preset and fold."""
        return self.painter.collection if self.painter else self.generated

    @property
    def painter(self):
        """The configuration of our generator whose images are used; None for imported ones, and without any."""
        return generator(self.preset, self.generated, fold=self.fold) if self.generated in GENERATORS else None

    def settings(self):
        """Fields that differ from their defaults, without the names: what enters the key."""
        return changed(self, without=("preset", "arm"))


PRESETS = {
    "quick": TrainConfig(batch_size=16, lr=8e-3),
    "course": TrainConfig(
        preset="course", source="ham10000", image_size=112, cache_size=150, backbone="mobilenetv2_100",
        weights="imagenet", epochs=10, lr=3e-4, weight_decay=0.05, dropout=0.1, ema=0.99, scale=0.15, colour=0.08,
    ),
    "full": TrainConfig(
        preset="full", source="ham10000", image_size=260, cache_size=300, backbone="efficientnet_b2",
        weights="imagenet", epochs=20, batch_size=64, lr=1e-3, weight_decay=0.05, dropout=0.3, ema=0.999,
    ),
}
SEEDS = {"quick": (0, 1), "course": (0, 1, 2), "full": (0, 1, 2, 3, 4)}

ARMS = {
    "baseline": {},
    "leaky": dict(leak=True),
    "shortcut": dict(shortcut="ruler"),
    "weighted": dict(class_weight="balanced"),
    "sqrt_weighted": dict(class_weight="sqrt"),
    "sampler": dict(sampler="balanced"),
    "focal": dict(loss="focal"),
    "focal_sampler": dict(loss="focal", sampler="balanced"),
    "effective_number": dict(class_weight="effective"),
    "logit_adjusted": dict(loss="logit_adjusted"),
    "mel3": dict(mel_weight=3.0),
    "mel_sampler": dict(sampler="balanced", mel_weight=3.0, select_metric="mel_recall"),
    "cvae0": {},
    "cvae50": dict(generated="cvae", per_class=50),
    "cvae100": dict(generated="cvae", per_class=100),
    "cvae200": dict(generated="cvae", per_class=200),
    "cvae400": dict(generated="cvae", per_class=400),
    "oversample50": dict(oversample=50),
    "oversample100": dict(oversample=100),
    "oversample200": dict(oversample=200),
    "oversample400": dict(oversample=400),
    "classical": dict(randaug=7, mixup=0.2),
    "metadata_only": dict(backbone="logistic_metadata", weights="random"),
    "mean_colour": dict(backbone="logistic_colour", weights="random"),
}
# The arms of notebook 04.
CURES = ("baseline", "weighted", "sqrt_weighted", "sampler", "focal", "focal_sampler", "effective_number", "logit_adjusted", "mel3", "mel_sampler")
STUDY = {
    "quick": ("baseline", "weighted", "sampler", "logit_adjusted"), "course": ("baseline", "weighted", "sampler", "focal", "logit_adjusted"),
    "full": CURES,
}
# The arms of notebook 05, and those of them that a preset runs. No dose is the baseline under another name: it is not trained twice.
DOSES = ("cvae0", *(f"{kind}{dose}" for kind in ("cvae", "oversample") for dose in (50, 100, 200, 400)), "classical")
DOSE_STUDY = {"quick": ("cvae0", "cvae100", "oversample100"), "course": ("cvae0", "cvae100", "cvae400", "oversample400"), "full": DOSES}
TWINS = {"cvae0": "baseline"}
# Fitted in closed form: every seed would give the same, so one is enough.
SEEDLESS = ("metadata_only", "mean_colour")
# Arms that a preset runs with other seeds than the rest: the planted shortcut.
FEWER = {("quick", "shortcut"): (0,)}


def seeds(preset, arm="baseline"):
    """Seeds that a preset runs of an arm.

    Examples
    --------
    >>> seeds("full"), seeds("full", "mean_colour")
    ((0, 1, 2, 3, 4), (0,))
    """
    return (0,) if arm in SEEDLESS else FEWER.get((preset, arm), SEEDS[preset])


def configure(preset, arm="baseline", *, seed=0, fold=0, **changes):
    """The configuration of one run.

    Parameters
    ----------
    preset : str
        Key of ``PRESETS``.
    arm : str
        Key of ``ARMS``, or a new name when ``changes`` say what it is.
    seed, fold : int
        Fold in 0-4.
    **changes
        Fields of :class:`TrainConfig`.

    Raises
    ------
    ValueError
        An unknown preset, arm or field, with the known ones.

    Examples
    --------
    >>> configure("quick", "leaky", seed=1).name
    'leaky-s1-f0'
    """
    if preset not in PRESETS:
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    if arm not in ARMS and not changes:
        raise ValueError(f"no arm {arm!r}: choose one of {', '.join(ARMS)}, or say which fields it changes")
    unknown = set(changes) - {f.name for f in fields(TrainConfig)}
    if unknown:
        raise ValueError(f"no field {', '.join(sorted(unknown))} in TrainConfig: see helpers/presets.py for the fields")
    if fold not in range(5):
        raise ValueError(f"fold must be 0-4, got {fold}")
    return replace(PRESETS[preset], **{**ARMS.get(arm, {}), **changes}, arm=arm, seed=seed, fold=fold)
