"""The generator: trained on the train role alone, loaded where it is finished; samples, reconstructions, interpolations."""

import argparse
import hashlib
import io
import json
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
import torch

from helpers import data, generated, generators, paths, pictures, runs, splits
from helpers.cache import locked
from helpers.commands import plainly
from helpers.latent import BATCH, densities, encode, texture
from helpers.learner import completed, prepare
from helpers.lesions import CLASSES
from helpers.vae import Vae, VaeLearner, bytes_of

FILE = "generator.pt"


@dataclass(frozen=True)
class Generator:
    """A finished generator.

    Attributes
    ----------
    config : GeneratorConfig
    key : dict
        What decided it.
    network : Vae
    centre, spread : (7, latent) and (7, latent, latent) float32 tensors
        Mean, and Cholesky factor of the covariance, of the latent vectors of each class.
    spectrum : (7, 3, s, s/2+1) float32 tensor
        Root mean square amplitude, by class and frequency, of what reconstructions leave out.
    colour : (3, 3) float32 tensor
        Mixes three independent noises into that of red, green and blue.
    history : DataFrame
        One row per epoch: ``reconstruction`` and ``kl`` in nats per image, ``pixel_error`` (0-255).
    growth : (epochs, 7, s, round(4/3 s), 3) uint8 array
        What the network in training drew of every class after each epoch, from the same latent numbers.
    """

    config: generators.GeneratorConfig
    key: dict
    network: Vae
    centre: torch.Tensor
    spread: torch.Tensor
    spectrum: torch.Tensor
    colour: torch.Tensor
    history: pd.DataFrame
    growth: np.ndarray

    @property
    def label(self):
        """What the manifest of its pictures names: the key and the settings of drawing, as one hex digest."""
        text = json.dumps([self.key, *(getattr(self.config, name) for name in generators.DRAWING)], sort_keys=True)
        return f"cvae:{hashlib.sha256(text.encode()).hexdigest()}"


def key(config):
    """What decides a generator: settings, recipe, and the content of split and data (None where absent)."""
    return dict(settings=config.settings(), recipe=generators.RECIPE, split=splits.sha256(config.source), data=runs.content(config.source))


def load(config):
    """The finished generator of a configuration, or None."""
    file = runs.folder(config) / FILE
    if not file.is_file():
        return None
    saved = torch.load(io.BytesIO(file.read_bytes()), map_location="cpu", weights_only=True)
    if not runs.same_key(saved["key"], key(config)):
        return None
    network = build(config)
    network.load_state_dict(saved["network"])
    tensors = [saved[name] for name in ("centre", "spread", "spectrum", "colour")]
    growth = [frames(drawn) for drawn in saved.get("growth", ())]
    return Generator(config, saved["key"], network.eval(), *tensors, pd.DataFrame(saved["history"]), np.array(growth))


def build(config):
    """The network of a configuration with random weights."""
    return Vae(size=config.image_size, width=config.width, latent=config.latent).to(memory_format=torch.channels_last)


def fit(config, *, stop_after=None):
    """Train a generator, or resume it after any interruption, or load it where it is finished.

    Parameters
    ----------
    config : GeneratorConfig
    stop_after : int, optional
        Leave after this many epochs of the planned ones, as an interruption would (for tests).

    Returns
    -------
    Generator
        None when ``stop_after`` left it unfinished.

    Raises
    ------
    BlockingIOError
        Another process is training it.
    FileNotFoundError, ValueError
        Data or split that are absent or wrong.

    References
    ----------
    Kingma, Welling (2014), Auto-encoding variational Bayes, ICLR.
    Sohn, Lee, Yan (2015), Learning structured output representation using deep conditional generative models, NeurIPS.
    Ghosh et al. (2020), From variational to deterministic autoencoders, ICLR (the density fitted to latent vectors afterwards).
    """
    if done := load(config):
        return done
    wanted = key(config)
    return runs.once(config, wanted, lambda: load(config), lambda home: train(config, home, wanted, stop_after))


def train(config, home, wanted, stop_after):
    """One training, from its last checkpoint where there is one."""
    images, target = training_images(config)
    prepare(config)
    learner = VaeLearner(config, build(config), images, target)
    if not completed(learner, home, stop_after=stop_after):
        return None
    save(config, wanted, learner, home)
    (home / "last.ckpt").unlink()
    return load(config)


def training_images(config):
    """What the generator sees: images of the train role, squeezed to its square, and their classes.

    Returns
    -------
    images : (n, 3, s, s) uint8 tensor
    target : (n,) int array
    """
    frame = splits.table(config)
    rows = np.flatnonzero(frame["role"] == "train")
    images = squeeze(data.load_images(config.source, config.cache_size), rows, config.image_size)
    return images, frame["dx"].map(CLASSES.index).to_numpy()[rows]


def squeeze(images, rows, size):
    """Some full frames as (m, 3, size, size) uint8 tensor: the whole frame in a square."""
    small = [cv2.resize(np.asarray(images[row]), (size, size), interpolation=cv2.INTER_AREA) for row in rows]
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).contiguous()


def save(config, wanted, learner, home):
    """Write network, latent densities and history; the file appears whole and makes the generator count as finished."""
    network = learner.network.cpu().eval()
    images, target = learner.data.images, learner.data.target
    latent = encode(network, images, target)
    centre, spread = densities(latent, target.numpy())
    spectrum, colour = texture(network, images, target, latent[0])
    content = io.BytesIO()
    found = dict(centre=centre, spread=spread, spectrum=spectrum, colour=colour, history=learner.history, growth=learner.growth)
    torch.save(dict(key=wanted, network=network.state_dict()) | found, content)
    paths.write(home / FILE, content.getvalue())


@torch.inference_mode()
def sample(generator, dx, *, temperature=None, seed=0):
    """New pictures of given classes.

    Parameters
    ----------
    generator : Generator
    dx : sequence of str
        Class codes, one per picture.
    temperature : float, optional
        Scale of the latent noise, positive; the configuration's where left out.
    seed : int

    Returns
    -------
    (n, s, round(4/3 s), 3) uint8 array
        4:3 frames.
    """
    temperature = generator.config.temperature if temperature is None else temperature
    classes = torch.tensor([CLASSES.index(code) for code in dx])
    source = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(classes), generator.config.latent, generator=source)
    z = generator.centre[classes] + temperature * torch.einsum("nij,nj->ni", generator.spread[classes], noise)
    return decode(generator, z, classes, grain=source if generator.config.texture else None)


@torch.inference_mode()
def decode(generator, z, classes, *, grain=None):
    """4:3 frames, (n, s, round(4/3 s), 3) uint8, of latent vectors; with a random ``grain``, fine noise is added."""
    out, size = [], generator.config.image_size
    for i in range(0, len(z), BATCH):
        x = generator.network.decode(z[i : i + BATCH], classes[i : i + BATCH])
        if grain:
            white = torch.fft.rfft2(torch.randn(len(x), 3, size, size, generator=grain), norm="ortho") * generator.spectrum[classes[i : i + BATCH]]
            fine = torch.einsum("ij,bjhw->bihw", generator.colour, torch.fft.irfft2(white, s=(size, size), norm="ortho"))
            x = x + generator.config.texture * fine
        out.append(frames(bytes_of(x)))
    return np.concatenate(out)


def frames(squares):
    """(n, 3, s, s) uint8 tensor as 4:3 frames, (n, s, round(4/3 s), 3) uint8 array."""
    shape = pictures.shape_of(squares.shape[-1])[::-1]
    return np.stack([cv2.resize(one, shape, interpolation=cv2.INTER_LINEAR) for one in squares.permute(0, 2, 3, 1).numpy()])


@torch.inference_mode()
def reconstruct(generator, images, dx, *, seed=None):
    """Real frames, encoded and decoded: (n, s, round(4/3 s), 3) uint8, for (n, h, w, 3) uint8 images of classes ``dx``.

    With a seed, fine noise is added as to samples, so that they are as smooth.
    """
    small, classes = squeeze(images, range(len(images)), generator.config.image_size), torch.tensor([CLASSES.index(code) for code in dx])
    grain = torch.Generator().manual_seed(seed) if seed is not None and generator.config.texture else None
    return decode(generator, encode(generator.network, small, classes)[0], classes, grain=grain)


@torch.inference_mode()
def interpolate(generator, images, dx, *, steps):
    """Frames on the way between two real images of one class, ends included: (steps, s, round(4/3 s), 3) uint8."""
    small, classes = squeeze(images, (0, 1), generator.config.image_size), torch.tensor([CLASSES.index(dx)] * 2)
    start, end = encode(generator.network, small, classes)[0]
    share = torch.linspace(0, 1, steps)[:, None]
    return decode(generator, (1 - share) * start + share * end, classes[:1].expand(steps))


def provide(config):
    """Make sure that the collection a training run wants is there, and is that of the generator as configured now.

    Parameters
    ----------
    config : TrainConfig or GeneratorConfig

    Returns
    -------
    DataFrame
        The manifest. Missing pictures of our own generator are drawn, after training it where needed.
    """
    if not isinstance(config, generators.GeneratorConfig):
        if not config.painter:
            return foreign(config.collection)
        config = config.painter
    place = generated.folder(config.collection)
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(place):  # runs side by side want the same pictures: one makes them, the others wait
        generator = fit(config)
        if generated.sha256(config.collection):
            frame = generated.manifest(config.collection)
            if (frame["generator"] == generator.label).all():
                return frame
        dx = np.repeat(CLASSES, config.per_class)
        return generated.write(config.collection, sample(generator, dx, seed=config.seed), dx, label_source="condition", generator=generator.label)


def foreign(name):
    """Manifest of an imported collection; ValueError for pictures of our own generators, which have seen the test images of other folds."""
    frame = generated.manifest(name)
    if frame["generator"].str.startswith("cvae:").any():
        raise ValueError(f"{name} was drawn by a generator of this project: name that (generated=\"cvae\"), so that the one of this fold is used")
    return frame


@plainly()
def main(arguments=None):
    """``python -m helpers.cvae course [--arms cvae small_beta4]``: train generators and draw their pictures."""
    parser = argparse.ArgumentParser(prog="python -m helpers.cvae", description="Train the missing generators of a preset and draw their pictures.")
    parser.add_argument("preset", choices=list(generators.PAINTERS))
    parser.add_argument("--arms", nargs="+", default=["cvae"], choices=list(generators.GENERATORS))
    parser.add_argument("--folds", nargs="+", type=int, default=[0])
    options = parser.parse_args(arguments)
    for arm in options.arms:
        for fold in options.folds:
            config = generators.generator(options.preset, arm, fold=fold)
            print(f"{config.collection}: {len(provide(config))} pictures, manifest {generated.sha256(config.collection)[:12]}")


if __name__ == "__main__":
    main()
