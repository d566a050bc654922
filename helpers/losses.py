"""Losses and class weights against imbalance."""

import numpy as np
import torch
from torch.nn import functional

EFFECTIVE_BETA = 0.999
FOCAL_GAMMA = 2.0


def class_weights(counts, *, kind="none", mel=None, mel_weight=1.0):
    """Weight of every class in the loss, with mean 1 before the melanoma factor.

    Parameters
    ----------
    counts : (k,) int
        Training images per class, all positive.
    kind : {"none", "balanced", "sqrt", "effective"}
        Equal; 1/n; 1/sqrt(n); 1 over the effective number of samples, beta 0.999.
    mel : int or None
        Index of melanoma.
    mel_weight : float
        Extra factor on melanoma.

    Returns
    -------
    (k,) float64 array

    Raises
    ------
    ValueError
        A class without training images, or an unknown kind.

    References
    ----------
    Cui et al. (2019), Class-balanced loss based on effective number of samples, CVPR.

    Examples
    --------
    >>> class_weights([1, 3], kind="balanced").tolist()
    [1.5, 0.5]
    """
    counts = np.asarray(counts, dtype=float)
    if (counts <= 0).any():
        raise ValueError(f"class {int(np.argmin(counts))} has no training image: use another split or fewer classes")
    rules = {
        "none": np.ones_like(counts),
        "balanced": 1 / counts,
        "sqrt": counts**-0.5,
        "effective": (1 - EFFECTIVE_BETA) / (1 - EFFECTIVE_BETA**counts),
    }
    if kind not in rules:
        raise ValueError(f"no class weight {kind!r}: choose one of {', '.join(rules)}")
    weights = rules[kind] / rules[kind].mean()
    if mel is not None:
        weights[mel] *= mel_weight
    return weights


def loss_function(kind, *, counts, weights, label_smoothing=0.0):
    """The training loss as a function of logits (b, k) and targets (b,).

    Parameters
    ----------
    kind : {"ce", "focal", "logit_adjusted"}
        Cross-entropy; focal loss with gamma 2; cross-entropy on logits shifted by the log prior.
    counts, weights : (k,) arrays
        Training images and loss weight per class.
    label_smoothing : float
        Fraction in [0, 1), for ``ce`` and ``logit_adjusted``.

    References
    ----------
    Lin et al. (2017), Focal loss for dense object detection, ICCV.
    Menon et al. (2021), Long-tail learning via logit adjustment, ICLR.
    """
    weights = torch.as_tensor(weights, dtype=torch.float32)
    log_prior = torch.as_tensor(np.log(np.asarray(counts) / np.sum(counts)), dtype=torch.float32)

    def cross_entropy(logits, target):
        return functional.cross_entropy(logits, target, weight=weights.to(logits), label_smoothing=label_smoothing)

    def focal(logits, target):
        from kornia.losses import focal_loss

        # kornia's own mean also divides by the number of classes
        return focal_loss(logits, target, alpha=None, gamma=FOCAL_GAMMA, reduction="none", weight=weights.to(logits)).sum(1).mean()

    def logit_adjusted(logits, target):
        return cross_entropy(logits + log_prior.to(logits), target)

    rules = {"ce": cross_entropy, "focal": focal, "logit_adjusted": logit_adjusted}
    if kind not in rules:
        raise ValueError(f"no loss {kind!r}: choose one of {', '.join(rules)}")
    return rules[kind]
