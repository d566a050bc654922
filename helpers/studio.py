"""Where a generator is measured: the real images, the generated ones, and the baseline that looks at both."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from helpers import cvae, data, fidelity, generated, generators, metrics, models, presets, splits, synthesis, train
from helpers.intervals import NOTHING, flat, record
from helpers.lesions import CLASSES

TAUGHT = ("balanced_accuracy", "macro_f1", "mel_recall")


@dataclass(frozen=True)
class Studio:
    """What a measurement needs.

    Attributes
    ----------
    config : TrainConfig
        The baseline whose features are used.
    generator : Generator
    frame : DataFrame
        Metadata with ``group`` and ``role``, row i belonging to image i.
    images : (n, h, w, 3) uint8 array
    made : (m, s, round(4/3 s), 3) uint8 array
        The generated collection, of classes ``dx``.
    dx : (m,) str array
    network : Classifier
        Gives features.
    """

    config: presets.TrainConfig
    generator: cvae.Generator
    frame: pd.DataFrame
    images: np.ndarray
    made: np.ndarray
    dx: np.ndarray
    network: models.Classifier

    def features(self, images):
        """(n, d) float32 features of (n, h, w, 3) uint8 frames."""
        return models.predict(self.network, images, np.arange(len(images)), size=self.config.image_size)

    def standardised(self, sets):
        """Standardised features of some sets (:class:`synthesis.Sample` by name), one of which is called ``reference``."""
        return fidelity.standardised({name: self.features(one.images) for name, one in sets.items()})

    def rows(self, *roles):
        """Rows of the real images of some roles."""
        return np.flatnonzero(self.frame["role"].isin(roles))

    @cached_property
    def bank(self):
        """Train images at the generator's resolution, (n, s, w, 3) uint8."""
        return synthesis.shrunk(self.images, self.rows("train"), self.generator.config.image_size)

    @cached_property
    def spaces(self):
        """Where copies are looked for: name to what shows images there, and the train images; pixels of small copies in four mirrorings."""
        mirrored = np.concatenate([synthesis.thumbnails(self.bank[:, ::up, ::side]) for up in (1, -1) for side in (1, -1)])
        return {"features": (self.features, self.features(self.bank)), "pixels": (synthesis.thumbnails, mirrored)}


def enter(config, painter, *, training):
    """Gather what a measurement needs; None, and a sentence, where something is not here.

    Parameters
    ----------
    config : TrainConfig
        Of the baseline.
    painter : GeneratorConfig
    training : bool
        Whether to train what is missing.

    Returns
    -------
    Studio or None
    """
    if not data.available(config.source):
        return absent(f"The images of {config.source} are not here")
    try:
        if training:
            train.fit(config, weights=True)
        network = train.penultimate(config)
    except (FileNotFoundError, ValueError) as error:
        return absent(str(error))
    generator = cvae.fit(painter) if training else cvae.load(painter)
    if generator is None:
        return absent(f"The generator {painter.collection} is not trained here (python -m helpers.cvae {config.preset})")
    dx = cvae.provide(painter)["dx"].to_numpy()
    made = np.asarray(generated.load_images(painter.collection, painter.image_size))
    return Studio(config, generator, splits.table(config), data.load_images(config.source, config.cache_size), made, dx, network)


def absent(reason):
    """Say what is missing."""
    print(f"{reason}: the published measurements are shown instead, where there are any.")


def samples(studio, **options):
    """The sets to compare (see :func:`synthesis.samples`, also for the options) and their standardised features."""
    sets = synthesis.samples(studio.frame, studio.images, studio.made, studio.dx, size=studio.generator.config.image_size, **options)
    return sets, studio.standardised(sets)


def by_class(studio):
    """KID within each class, with as many images of it as all sets have (see :func:`synthesis.by_class`)."""
    sets, features = samples(studio, shares=False)
    return synthesis.by_class(features, sets, ["generated", "other half"])


def variants(studio, names, *, training):
    """The generator, the same drawn otherwise, and small ones with one setting changed: ``{name: Generator}``."""
    own = studio.generator
    out = {own.config.arm: own, "without texture": replace(own, config=replace(own.config, texture=0.0)),
           "temperature 0.7": replace(own, config=replace(own.config, temperature=0.7))}
    for name in names:
        config = generators.generator(studio.config.preset, name, fold=studio.config.fold)
        found = cvae.fit(config) if training else cvae.load(config)
        out |= {name: found} if found else {}
    return out


def sweep(studio, names, *, training):
    """KID of several generators against the reference set, each at its own resolution.

    Returns
    -------
    DataFrame
        ``generator, pixels, epochs, pixel_error`` (0-255, of held-out images that are redrawn), ``kl, kid, kid_low, kid_high``; names that are not
        trained are left out.
    """
    rows = []
    for name, generator in variants(studio, names, training=training).items():
        config, last = generator.config, generator.history.iloc[-1]
        dx = np.repeat(CLASSES, studio.generator.config.per_class)
        sets = synthesis.samples(studio.frame, studio.images, cvae.sample(generator, dx, seed=1), dx, size=config.image_size)
        found, held = distance(studio, sets["reference"], sets["generated"].images), sets["held out"]
        gap = cvae.reconstruct(generator, held.images, held.dx).astype(float) - held.images
        rows.append(dict(generator=name, pixels=config.image_size, epochs=config.epochs, pixel_error=float(np.sqrt(np.square(gap).mean())),
                         kl=float(last["kl"])) | flat(dict(kid=found)))
    return pd.DataFrame(rows)


def distance(studio, reference, images):
    """KID of some images against a reference :class:`synthesis.Sample`, with its interval."""
    x = fidelity.standardised({"reference": studio.features(reference.images), "images": studio.features(images)})
    return fidelity.kid(x["reference"], x["images"], reference.groups)


def copies(studio, sets, *, shown=6):
    """Is a generated image closer to a train image than held-out real ones are?

    Returns
    -------
    table : DataFrame
        ``space`` (see :attr:`Studio.spaces`), ``against`` (held-out images, plain or redrawn by the generator with its grain, which makes them as
        smooth as its pictures), ``ratio`` of median distances and share ``closer`` than the closest twentieth of them, with intervals.
    pairs : tuple of two (shown, s, w, 3) uint8 arrays
        The generated images nearest to a train image in pixel space, and those train images.
    """
    rows, pairs = [], None
    held = sets["held out"]
    others = {"held out": held.images, "held out, redrawn": cvae.reconstruct(studio.generator, held.images, held.dx, seed=0)}
    for name, (see, own) in studio.spaces.items():
        near, which = fidelity.nearest(see(sets["generated"].images), own)
        for against, images in others.items():
            found = synthesis.memorisation(near, fidelity.nearest(see(images), own)[0], held.groups)
            rows.append(dict(space=name, against=against, images=len(near)) | flat(found))
        closest = np.argsort(near)[:shown]
        pairs = sets["generated"].images[closest], studio.bank[which[closest] % len(studio.bank)]
    return pd.DataFrame(rows), pairs


def copies_by_class(studio):
    """Copies class by class: all generated images of a class against all held-out ones of it, redrawn.

    Returns
    -------
    DataFrame
        ``space, dx, images, held_out, ratio`` and ``nearer`` (see :func:`synthesis.memorisation`) with intervals.
    """
    held, rows = studio.rows(*splits.HELD), []
    dx, group = (studio.frame[name].to_numpy(dtype=str)[held] for name in ("dx", "group"))
    redrawn = cvae.reconstruct(studio.generator, synthesis.shrunk(studio.images, held, studio.generator.config.image_size), dx, seed=0)
    for name, (see, own) in studio.spaces.items():
        made, real = (fidelity.nearest(see(images), own)[0] for images in (studio.made, redrawn))
        for code in CLASSES:
            found = synthesis.memorisation(made[studio.dx == code], real[dx == code], group[dx == code], by="nearer")
            rows.append(dict(space=name, dx=code, images=int((studio.dx == code).sum()), held_out=int((dx == code).sum())) | flat(found))
    return pd.DataFrame(rows)


def taught(studio, *, seed=0):
    """Train on synthetic, test on real, and the reverse: a probe on the baseline's features, as many images of each class either way.

    The real images to train on are those of select and calibrate, which the features have not been fitted to. The features themselves have
    learned from the labels of real train images.

    Returns
    -------
    DataFrame
        ``trained_on, tested_on, images`` (trained on), three scores with intervals, and ``macro_f1_difference`` to training on real images,
        paired over the test lesions.
    """
    size, rng = studio.generator.config.image_size, np.random.default_rng(seed)
    held, test = studio.rows(*splits.HELD), studio.rows("test")
    dx, group = (studio.frame[name].to_numpy(dtype=str) for name in ("dx", "group"))
    counts = {code: min(int((dx[held] == code).sum()), int((studio.dx == code).sum()) // 2) for code in CLASSES}
    own, made = held[synthesis.chosen(dx[held], counts, rng)], synthesis.chosen(studio.dx, counts, rng)
    rest = np.setdiff1d(np.arange(len(studio.dx)), made)
    real, fake = (own, dx[own], studio.images), (made, studio.dx[made], studio.made)
    goals = {"real": (test, dx[test], group[test], studio.images), "generated": (rest, studio.dx[rest], rest.astype(str), studio.made)}
    seen = {name: studio.features(synthesis.shrunk(images, rows, size)) for name, (rows, _, images) in (("real", real), ("generated", fake))}
    aims = {name: studio.features(synthesis.shrunk(images, rows, size)) for name, (rows, _, _, images) in goals.items()}
    out = []
    for start, end in (("real", "real"), ("generated", "real"), ("real", "generated")):
        _, answers, groups, _ = goals[end]
        p = synthesis.probe(seen[start], (real if start == "real" else fake)[1], aims[end])
        draws = metrics.bootstrap([CLASSES.index(code) for code in answers], p, groups, keys=TAUGHT)
        found = {key: record(draws[key], n=len(p)) for key in TAUGHT}
        if start == end:
            base = draws["macro_f1"]
        found["macro_f1_difference"] = record(draws["macro_f1"] - base, n=len(p)) if start == "generated" else NOTHING
        out.append(dict(trained_on=start, tested_on=end, images=sum(counts.values())) | flat(found))
    return pd.DataFrame(out)


def asked_and_called(studio, images, dx):
    """What the baseline calls images made for a class: (7, 7) counts, asked for (rows) by called (columns)."""
    classifier = train.trained(studio.config)
    called = models.predict(classifier, images, np.arange(len(images)), size=studio.config.image_size).argmax(1)
    called = pd.Categorical(np.array(CLASSES)[called], CLASSES)
    return pd.crosstab(pd.Categorical(dx, CLASSES), called, rownames=["asked for"], colnames=["called"], dropna=False)
