"""Every setting of a generator of images, the frozen ones of each preset, and the small ones that explain them."""

from dataclasses import asdict, dataclass, fields, replace

# Raise by hand when the mathematics of the generator changes: finished generators, and the runs that used them, then count as stale.
RECIPE = 2
DRAWING = ("temperature", "texture", "per_class")  # fields that change pictures, but not the training


@dataclass(frozen=True)
class GeneratorConfig:
    """All that decides a generator, besides the data and the split.

    Attributes
    ----------
    preset, arm : str
        Names; the plain one is ``cvae``.
    seed, fold : int
        It sees the train role of this fold only.
    source : str
    image_size, cache_size : int
        Side of its pictures, a multiple of 16 (the whole 4:3 frame is squeezed into the square), and short side of the cached frames.
    width, latent : int
        Channels at half the side, a multiple of 8, and length of the latent vector.
    beta, warmup, free_bits : float
        Weight of the KL divergence, the share of the steps in which it grows from 0, and nats that each latent number has for nothing.
    edge : float
        Weight of the error of edges, relative to that of pixels.
    balance : float
        How classes are drawn in training: 0 as often as they are, 1 equally often.
    epochs, batch_size : int
    lr, weight_decay, ema : float
        As in :class:`TrainConfig`.
    temperature : float
        Scale of the latent noise when pictures are drawn; below 1 they are less varied and cleaner.
    texture : float
        Scale of the fine noise that is added then, with the spectrum of what the reconstruction leaves out; 0 for none.
    per_class : int
        Pictures that are drawn of every class.
    """

    preset: str = "quick"
    arm: str = "cvae"
    seed: int = 0
    fold: int = 0
    source: str = "phantom"
    image_size: int = 64
    cache_size: int = 72
    width: int = 16
    latent: int = 64
    beta: float = 1.0
    warmup: float = 0.2
    free_bits: float = 0.0
    edge: float = 0.0
    balance: float = 0.5
    epochs: int = 6
    batch_size: int = 32
    lr: float = 2e-3
    weight_decay: float = 0.01
    ema: float = 0.98
    temperature: float = 1.0
    texture: float = 1.0
    per_class: int = 200

    @property
    def name(self):
        """Name of the training run, as in :class:`TrainConfig`."""
        return f"{self.arm}-s{self.seed}-f{self.fold}"

    @property
    def collection(self):
        """Name of the folder with its pictures."""
        return f"{self.arm}-{self.preset}-f{self.fold}"

    def settings(self):
        """Fields that decide the training and differ from their defaults."""
        return changed(self, without=("preset", "arm", *DRAWING))

    def recipe(self):
        """What decides its pictures, besides the data and the split: known also where the pictures are not."""
        return self.settings() | {name: getattr(self, name) for name in DRAWING} | {"recipe": RECIPE}


def changed(config, *, without):
    """Fields of a configuration that differ from their defaults."""
    plain = {f.name: f.default for f in fields(config)}
    return {k: v for k, v in asdict(config).items() if v != plain[k] and k not in without}


# The generator of the arms, and small ones, one change each, that explain its settings.
GENERATORS = {"cvae": {}} | {
    f"small_{name}": dict(image_size=32, epochs=6) | change for name, change in {
        "plain": {}, "beta4": dict(beta=4.0), "beta025": dict(beta=0.25), "edge": dict(edge=2.0), "narrow": dict(width=16), "wide": dict(width=32),
        "unbalanced": dict(balance=0.0)}.items()}
SWEEP = {"quick": ("small_plain",), "course": tuple(GENERATORS)[1:], "full": tuple(GENERATORS)[1:]}
PAINTERS = {
    "quick": GeneratorConfig(image_size=48),
    "course": GeneratorConfig(preset="course", source="ham10000", cache_size=150, width=24, epochs=18, ema=0.995, per_class=400),
    "full": GeneratorConfig(preset="full", source="ham10000", image_size=96, cache_size=300, width=64, latent=128, epochs=120, batch_size=64,
                            lr=1e-3, ema=0.999, per_class=400),
}


def generator(preset, arm="cvae", *, fold=0, **changes):
    """The configuration of a generator.

    Raises
    ------
    ValueError
        A name that is not in ``GENERATORS``, with those that are.

    Examples
    --------
    >>> generator("course", fold=2).collection
    'cvae-course-f2'
    """
    if arm not in GENERATORS and not changes:
        raise ValueError(f"no generator {arm!r}: choose one of {', '.join(GENERATORS)}, or say which fields it changes")
    return replace(PAINTERS[preset], **{**GENERATORS.get(arm, {}), **changes}, arm=arm, fold=fold)
