"""What trainings have in common, and the Lightning module that trains a classifier on images kept in one array."""

import logging
import os
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from helpers import metrics
from helpers.augment import N_DRAWS, blended, draws, randaugment, view
from helpers.progress import tqdm

ON_DEVICE_BYTES = 4e9
QUICK_THREADS = 1  # a small network gains little from a second thread: runs go side by side instead


class Batches:
    """Batches of row numbers, a function of (seed, epoch) alone; the images follow on the device."""

    def __init__(self, rows, batch_size, order=None, *, drawn=None):
        self.rows, self.batch_size, self.order = np.asarray(rows), batch_size, order
        self.drawn = drawn or len(self.rows)

    def __len__(self):
        return self.drawn // self.batch_size if self.order else -(-len(self.rows) // self.batch_size)

    def __iter__(self):
        rows = self.order(self.rows) if self.order else self.rows
        for i in range(len(self)):
            yield torch.from_numpy(rows[i * self.batch_size : (i + 1) * self.batch_size])


class Shared(SimpleNamespace):
    """What copies of a learner share: the averaged copy needs no images of its own."""

    def __deepcopy__(self, memo):
        return self


class Resumable(L.LightningModule):
    """A training whose chance is a function of (seed, epoch) alone and whose history outlives an interruption.

    Parameters
    ----------
    config : TrainConfig or GeneratorConfig
        ``seed, epochs, lr, weight_decay`` are read.
    network : Module
    images : array or tensor of n
    target : (n,) int
        Class index of every image.
    """

    rise = 0.2  # share of the steps in which the learning rate grows

    def __init__(self, config, network, images, target):
        super().__init__()
        self.config, self.network = config, network.to(memory_format=torch.channels_last)
        self.data = Shared(images=images, target=torch.from_numpy(np.array(target, dtype=np.int64)))
        self.history, self.terms, self.started = [], [], 0.0

    @property
    def epoch(self):
        """Epochs already finished; right after a resume too, where ``current_epoch`` lags behind."""
        return self.trainer.fit_loop.epoch_progress.current.processed

    def on_train_epoch_start(self):
        self.terms, self.started = [], time.perf_counter()
        # Dropout and noise too repeat themselves in a resumed run.
        torch.manual_seed(self.config.seed * 100_003 + self.epoch)

    def configure_optimizers(self):
        """AdamW under one cycle; biases and scales do not decay."""
        decay = [p for p in self.network.parameters() if p.ndim > 1]
        plain = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [dict(params=decay, weight_decay=self.config.weight_decay), dict(params=plain, weight_decay=0.0)]
        optimizer = torch.optim.AdamW(groups, lr=self.config.lr)
        steps = max(self.config.epochs * len(self.train_dataloader()), round(2 / self.rise))  # a cycle of fewer steps divides by zero
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.config.lr, total_steps=steps, pct_start=self.rise)
        return [optimizer], [dict(scheduler=schedule, interval="step")]

    def on_save_checkpoint(self, checkpoint):
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint):
        self.history = checkpoint["history"]


class Learner(Resumable):
    """One classifier in training.

    Parameters
    ----------
    config : TrainConfig
    classifier : Classifier
    images : (n, h, w, 3) uint8 array
    target : (n,) int
        Class index of every image.
    train_rows, select_rows : (m,) int
        Images to train on, and images on which the epoch is chosen.
    loss : callable
        Of logits (b, k) and targets (b,).
    drawn : int, optional
        Training images seen in an epoch; all of them where left out.
    """

    def __init__(self, config, classifier, images, target, *, train_rows, select_rows, loss, drawn=None):
        super().__init__(config, classifier.network, images, target)
        self.classifier, self.loss, self.drawn, self.outputs = classifier, loss, drawn, []
        self.train_rows, self.select_rows = np.asarray(train_rows), np.asarray(select_rows)

    def setup(self, stage):
        """Move the images to the GPU where they fit, so that no loader is needed."""
        images, device = self.data.images, self.trainer.strategy.root_device
        if device.type == "cuda" and images.nbytes < ON_DEVICE_BYTES:
            self.data.images = torch.from_numpy(np.array(images)).to(device)

    def pixels(self, rows):
        """(b, h, w, 3) uint8 images of some rows, on the device."""
        images = self.data.images
        if torch.is_tensor(images):
            return images[rows.to(images.device)]
        return torch.from_numpy(images[rows.cpu().numpy()]).to(self.device)

    def inputs(self, rows, *, augment):
        """(b, 3, s, s) normalised views of some rows."""
        uniform = draws(self.config.seed, self.epoch, rows.cpu().numpy()) if augment else None
        pixels = self.pixels(rows)
        if augment and self.config.randaug:
            pixels = randaugment(pixels, self.extra_draws(rows), magnitude=self.config.randaug)
        x = view(pixels, size=self.config.image_size, uniform=uniform, scale=self.config.scale if augment else 0.0,
                 colour=self.config.colour if augment else 0.0)
        return self.classifier.normalise(x).contiguous(memory_format=torch.channels_last)

    def extra_draws(self, rows):
        """One more number for each image, unrelated to those of its view."""
        return draws(self.config.seed, self.epoch, rows.cpu().numpy(), count=N_DRAWS + 1)[:, -1]

    def order(self, rows):
        """Training order of this epoch: a permutation, or a draw with classes equally likely."""
        generator = np.random.default_rng((self.config.seed, self.epoch))
        if self.config.sampler == "shuffle":
            return generator.permutation(rows)
        target = self.data.target[rows].numpy()
        return generator.choice(rows, size=len(rows), p=sampling_probabilities(target))

    def train_dataloader(self):
        return Batches(self.train_rows, self.config.batch_size, self.order, drawn=self.drawn)

    def val_dataloader(self):
        return Batches(self.select_rows, 64)

    def training_step(self, rows, _):
        x, target = self.inputs(rows, augment=True), self.data.target[rows.cpu()].to(self.device)
        if self.config.mixup:
            x, target = blended(x, target, alpha=self.config.mixup, seed=(self.config.seed, self.epoch, int(rows[0])))
        loss = self.loss(self.network(x).float(), target)
        self.terms.append(loss.detach())
        return loss

    def on_validation_epoch_start(self):
        self.outputs = []

    def validation_step(self, rows, _):
        self.outputs.append(self.network(self.inputs(rows, augment=False)).float().softmax(1).cpu())

    def on_validation_epoch_end(self):
        scores = metrics.scores(self.data.target[self.select_rows].numpy(), torch.cat(self.outputs).double().numpy())
        self.log("choice", float(np.nan_to_num(scores[self.config.select_metric])))
        self.history.append({
            "epoch": self.epoch, "seconds": round(time.perf_counter() - self.started, 1),
            "learning_rate": self.trainer.optimizers[0].param_groups[0]["lr"], "train_loss": float(torch.stack(self.terms).mean()),
            **{f"select_{name}": float(scores[name]) for name in ("accuracy", "balanced_accuracy", "macro_f1", "mel_recall", "mel_auc")},
        })


def sampling_probabilities(target):
    """Probability of drawing each image so that all classes are drawn equally often.

    Examples
    --------
    >>> sampling_probabilities(np.array([0, 1, 1])).tolist()
    [0.5, 0.25, 0.25]
    """
    classes, inverse, counts = np.unique(target, return_inverse=True, return_counts=True)
    return 1 / counts[inverse] / len(classes)


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints appear whole or not at all, and are read without running pickled code."""

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(checkpoint, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)

    def load_checkpoint(self, path, map_location=None, weights_only=True):
        return torch.load(path, map_location=map_location, weights_only=True)


class Progress(L.Callback):
    """One bar over all steps of a run, with the time left; silent under ``TQDM_DISABLE=1``."""

    def on_train_start(self, trainer, learner):
        steps = trainer.num_training_batches * trainer.max_epochs
        self.bar = tqdm(total=steps, initial=trainer.global_step, desc=learner.config.name, unit="step", leave=False, mininterval=1)

    def on_train_batch_end(self, trainer, learner, outputs, batch, batch_idx):
        self.bar.update()

    def on_validation_end(self, trainer, learner):
        last = learner.history[-1]
        self.bar.set_postfix({"loss": f"{last['train_loss']:.3f}", learner.config.select_metric: f"{trainer.callback_metrics['choice']:.3f}"})

    def on_train_end(self, trainer, learner):
        self.bar.close()


def prepare(config):
    """What comes before a network is made: the seed of its random weights, and the threads of ``quick``."""
    torch.manual_seed(config.seed)
    if config.preset == "quick":
        torch.set_num_threads(QUICK_THREADS)


def completed(learner, home, *, stop_after=None, monitor=None):
    """Train to the last epoch, from the last checkpoint where there is one; False where ``stop_after`` epochs end it before."""
    epochs, last = learner.config.epochs, home / "last.ckpt"
    trainer = make_trainer(learner.config, home, stop_after or epochs, monitor=monitor)
    trainer.fit(learner, ckpt_path=last if last.is_file() else None, weights_only=True)
    return (stop_after or epochs) >= epochs


def make_trainer(config, home, epochs, *, monitor=None):
    """Quiet Lightning trainer: atomic checkpoints of the last and the best epoch (by ``monitor``), averaged weights, one progress bar."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    # Two, for one that watches a score writes its last checkpoint only when the score has improved.
    best = [ModelCheckpoint(home, filename="best", monitor=monitor, mode="max", enable_version_counter=False)] if monitor else []
    last = ModelCheckpoint(home, filename="last", enable_version_counter=False)
    average = [EMAWeightAveraging(decay=config.ema)] if config.ema else []
    cuda = torch.cuda.is_available()
    return L.Trainer(
        max_epochs=epochs, accelerator="auto", devices=1, precision="bf16-mixed" if cuda else "32-true", plugins=[AtomicCheckpoints()],
        callbacks=[*average, *best, last, Progress()], logger=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, log_every_n_steps=10**9, gradient_clip_val=1.0,
    )
