"""Many runs at once: every arm and seed of an ablation, failures kept and shown."""

import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from helpers import calibration, losses, metrics, presets, runs, splits, thresholds, train
from helpers.intervals import NOTHING, contrast, flat, holm, record
from helpers.lesions import CLASSES, MEL
from helpers.progress import tqdm

BASE = "baseline"


@dataclass
class Study:
    """The runs of an ablation.

    Attributes
    ----------
    runs : dict of str to list of Run
        Finished runs by arm, in the order of the seeds; an arm without any is absent.
    failed : dict of str to str
        Name of the run and what stopped it.
    """

    runs: dict = field(default_factory=dict)
    failed: dict = field(default_factory=dict)

    def comparable(self, base=BASE):
        """Arms that share a seed with the baseline; ValueError where that has no run."""
        if base not in self.runs:
            why = "; ".join(self.failed.values()) or "add it to the arms"
            raise ValueError(f"{base} has no finished run, and everything is compared with it: {why}")
        seeds = {arm: {run.config.seed for run in found} for arm, found in self.runs.items()}
        return [arm for arm in self.runs if seeds[arm] & seeds[base]]

    def paired(self, arm, role, *, equal_shares=None, base=BASE):
        """An arm and the baseline (or another ``base``) on one role, with the seeds that both have: ``(frame, y, p, p_base)``, p (s, n, 7).

        With ``equal_shares``, the training images per class, the baseline's probabilities are moved to equal class shares.
        """
        both = {run.config.seed for run in self.runs[arm]} & {run.config.seed for run in self.runs[base]}
        own, other = ([run for run in self.runs[name] if run.config.seed in both] for name in (arm, base))
        frame, y, p = runs.stack(own, role)
        if equal_shares is None:
            return frame, y, p, runs.stack(other, role)[2]
        moved = [corrected(run, role, counts=equal_shares, target=np.ones(len(CLASSES))) for run in other]
        return frame, y, p, np.stack(moved)


def gather(preset, arms, *, seeds=None, fold=0, training=True):
    """Load or train every arm and seed, one after another, under one progress bar.

    A run that cannot be had (no data, a crash) is noted in ``failed`` and the others go on.

    Parameters
    ----------
    preset : str
    arms : sequence of str
        Keys of ``presets.ARMS``; a wrong name is an error at once.
    seeds : sequence of int, optional
        The preset's where left out.
    fold : int
    training : bool
        False leaves missing runs out; ``failed`` says so.

    Returns
    -------
    Study
    """
    configs = [presets.configure(preset, arm, seed=seed, fold=fold) for arm in arms for seed in seeds or presets.seeds(preset, arm)]
    study = Study()
    for config in tqdm(configs, desc="runs", unit="run"):
        try:
            run = train.fit(config) if training else runs.finished(config)
            if run is None:
                study.failed[config.name] = "not run"
            else:
                study.runs.setdefault(config.arm, []).append(run)
        except (OSError, RuntimeError, ValueError) as error:
            study.failed[config.name] = f"{type(error).__name__}: {error}"
    study.runs = {arm: found for arm, found in study.runs.items() if found}
    return study


def roster(study, arms):
    """One row per arm: what it changes, how many runs it has, which failed."""
    rows = []
    for arm in arms:
        changes = ", ".join(f"{key} = {value}" for key, value in presets.ARMS[arm].items()) or "nothing"
        failed = [name for name in study.failed if name.startswith(f"{arm}-s")]
        rows.append(dict(arm=arm, changes=changes, runs=len(study.runs.get(arm, [])), failed=", ".join(failed) or "none"))
    return pd.DataFrame(rows)


def choice(study, *, key, roles=splits.HELD):
    """Mean score of every arm over its seeds, on roles away from test, best first; a Series by arm."""
    return scores(study, roles=roles).groupby("arm")[key].mean().sort_values(ascending=False)


def scores(study, *, roles=("test",)):
    """Scores of every run on some roles together: one row a run, ``arm, seed`` and the names of :func:`metrics.scores`."""
    rows = []
    for arm, found in study.runs.items():
        for run in found:
            parts = [run.role(role) for role in roles]
            y, p = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
            rows.append(dict(arm=arm, seed=run.config.seed) | metrics.scores(y, p))
    return pd.DataFrame(rows)


def recalls(study, *, role="test"):
    """Recall per arm (rows) and class (columns), means over seeds."""
    table = scores(study, roles=(role,)).groupby("arm", sort=False)[[f"recall_{code}" for code in CLASSES]].mean()
    return table.rename(columns=lambda name: name.removeprefix("recall_")).rename_axis(index=None)


def differences(study, *, keys, role="test", equal_shares=None, base=BASE):
    """Every arm against the baseline: paired bootstrap over lesions, Holm-corrected over the arms within each score.

    Parameters
    ----------
    keys : sequence of str
        Names of :func:`metrics.scores`.
    role : str
    equal_shares : (7,) int, optional
        Training images per class: the baseline's probabilities are then moved to equal class shares first, and the plain
        baseline is one of the arms.
    base : str
        The arm to compare with.

    Returns
    -------
    DataFrame
        ``score, arm, seeds, mean, mean_low, mean_high`` of the arm, and ``difference, difference_low, difference_high, worst_seed,
        best_seed, p, p_holm`` (nan for the baseline against itself). The interval holds the sampling of lesions; what single seeds differ
        by, from the worst to the best, tells the noise of training.
    """
    rows = []
    for arm in study.comparable(base):
        frame, y, p, p_base = study.paired(arm, role, equal_shares=equal_shares, base=base)
        own, other = (metrics.bootstrap(y, each, frame["group"], keys=keys) for each in (p, p_base))
        single = [(metrics.scores(y, a), metrics.scores(y, b)) for a, b in zip(p, p_base, strict=True)]
        for key in keys:
            against_itself = arm == base and equal_shares is None
            gap = NOTHING if against_itself else contrast(own[key] - other[key], n=len(y))
            apart = [np.nan] if against_itself else [a[key] - b[key] for a, b in single]
            rows.append(dict(score=key, arm=arm, seeds=len(p)) | flat(dict(mean=record(own[key], n=len(y)), difference=gap))
                        | dict(worst_seed=min(apart), best_seed=max(apart), p=gap["p"]))
    table = pd.DataFrame(rows)
    return table.assign(p_holm=table.groupby("score")["p"].transform(holm))


def duels(study, *, keys, role="test"):
    """Generated images against as many repeated real ones, where a study has both: rows of :func:`differences` with the ``control``."""
    rows = []
    for arm in study.runs:
        control = arm.replace("cvae", "oversample")
        if control != arm and control in study.runs:
            pair = Study({name: study.runs[name] for name in (arm, control)})
            table = differences(pair, keys=keys, role=role, base=control).query("arm == @arm")
            table.insert(2, "control", control)
            y = pair.runs[arm][0].role(role)[1]
            table["n"] = [metrics.counted(key, y) for key in table["score"]]
            rows.append(table)
    columns = ["score", "arm", "control", "seeds", "difference", "difference_low", "difference_high", "worst_seed", "best_seed", "n"]
    return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)


def clear(table, *, alpha=0.05):
    """Rows of :func:`differences` or :func:`at_specificity` that differ after Holm's correction, in whichever direction."""
    return table[table["p_holm"] < alpha]


def told(table, *, nothing="no arm by more than noise"):
    """The differences of some rows, as a sentence has them: the mean, and the worst to the best seed.

    Examples
    --------
    >>> told(pd.DataFrame(dict(arm=["focal"], difference=[-0.0625], worst_seed=[-0.125], best_seed=[0.25])))
    'focal -0.062 (seeds -0.125 to +0.250)'
    """
    rows = table.itertuples()
    return "; ".join(f"{row.arm} {row.difference:+.3f} (seeds {row.worst_seed:+.3f} to {row.best_seed:+.3f})" for row in rows) or nothing


def doses(table):
    """Rows of :func:`differences` with ``kind`` (what joined: generated, repeated or nothing) and ``dose`` (images per minority class)."""
    arms = table["arm"].map(presets.ARMS)
    kind = ["generated" if arm.get("generated") else "repeated" if arm.get("oversample") else "other" if arm else "nothing" for arm in arms]
    return table.assign(kind=kind, dose=[arm.get("per_class", arm.get("oversample", 0)) for arm in arms])


def one_score(table, key):
    """Rows of one score from :func:`differences`, its name in the columns and p corrected, as the report shows it."""
    rows = table[table["score"] == key].drop(columns=["score", "p"])
    return rows.rename(columns=lambda name: re.sub("mean", key, re.sub("^(difference|worst|best)", rf"{key}_\1", name)))


def at_specificity(study, *, target, base=BASE):
    """Melanoma recall on test where every run's threshold has the target specificity on calibrate.

    Returns
    -------
    DataFrame
        ``arm, seeds, threshold, sensitivity, sensitivity_low, sensitivity_high, specificity``, means over seeds, and ``difference`` to the
        baseline over the seeds that both have, with the columns that :func:`differences` has for it (nan for the baseline itself). The
        intervals hold the chance of the threshold, too (:func:`helpers.thresholds.transferred`).
    """
    arms, rows = study.comparable(base), []
    melanomas = int((study.runs[base][0].role("test")[1] == MEL).sum())
    found = {arm: {run.config.seed: caught(run, target=target) for run in study.runs[arm]} for arm in arms}
    for arm in arms:
        cuts, recall, specificity = (np.array(part) for part in zip(*found[arm].values(), strict=True))
        apart = np.array([found[arm][seed][1] - found[base][seed][1] for seed in found[arm].keys() & found[base].keys()])
        gap, single = (NOTHING, [np.nan]) if arm == base else (contrast(apart.mean(0), n=melanomas), apart[:, 0])
        rows.append(dict(arm=arm, seeds=len(cuts), threshold=cuts.mean()) | flat(dict(sensitivity=record(recall.mean(0), n=melanomas)))
                    | dict(specificity=specificity[:, 0].mean()) | flat(dict(difference=gap))
                    | dict(worst_seed=min(single), best_seed=max(single), p=gap["p"]))
    table = pd.DataFrame(rows)
    return table.assign(p_holm=holm(table["p"]))


def caught(run, *, target):
    """As :func:`helpers.thresholds.transferred` from calibrate to test."""
    roles = [(y == MEL, p[:, MEL], frame["group"]) for frame, y, p in (run.role(role) for role in ("calibrate", "test"))]
    return thresholds.transferred(*roles, target=target)


def trained_shares(config, counts):
    """Class shares that the outputs of a trained network assume.

    Those of the images times the class weights; equal ones under the balanced sampler and under logit adjustment, which
    takes the shares out of the outputs by itself.

    Parameters
    ----------
    config : TrainConfig
    counts : (7,) int
        Training images per class.

    Returns
    -------
    (7,) float, sum 1

    Examples
    --------
    >>> trained_shares(presets.configure("quick", "sampler"), [10, 20, 30, 10, 20, 100, 5]).round(3).tolist()
    [0.143, 0.143, 0.143, 0.143, 0.143, 0.143, 0.143]
    """
    weights = losses.class_weights(counts, kind=config.class_weight, mel=MEL, mel_weight=config.mel_weight)
    equal = config.sampler == "balanced" or config.loss == "logit_adjusted"
    seen = (np.ones(len(CLASSES)) if equal else np.asarray(counts, dtype=float)) * weights
    return seen / seen.sum()


def corrected(run, role, *, counts, target=None):
    """Probabilities (n, 7) of a run on a role, moved from the shares it was trained under to ``target`` (the counts' own)."""
    _, _, p = run.role(role)
    shares = trained_shares(run.config, counts)
    return calibration.prior_shift(p, trained=shares, target=np.asarray(counts, dtype=float) if target is None else target)
