"""Lesion-disjoint parts, and the roles that a fold makes of them."""

import hashlib
import json
import sys

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from helpers import data, paths
from helpers.commands import plainly
from helpers.lesions import CLASSES

PARTS = 10
HELD = ("select", "calibrate")  # neither trained on nor reported: where choices are made
SEED = 2018
RULE = (
    "groups = lesions joined by confirmed duplicate pairs; within a diagnosis, largest group first, "
    "each to the part with fewest images of it; a group with several diagnoses counts under the rarest"
)


def files(source):
    """CSV of the split, its JSON, and the CSV of duplicate pairs (which need not exist)."""
    return paths.SPLITS / f"{source}.csv", paths.SPLITS / f"{source}.json", paths.SPLITS / f"{source}_duplicates.csv"


def groups(metadata, pairs):
    """Group of every image: its lesion, joined with lesions that a confirmed duplicate pair connects.

    Parameters
    ----------
    metadata : DataFrame
        ``image_id, lesion_id``.
    pairs : DataFrame
        ``image_id_a, image_id_b, verdict``; only rows with verdict ``same`` join.

    Returns
    -------
    Series of str
        The first lesion id of each group.

    Raises
    ------
    ValueError
        A pair names an image that the metadata lacks.

    Examples
    --------
    >>> m = pd.DataFrame({"image_id": ["i", "j", "k"], "lesion_id": ["A", "B", "C"]})
    >>> groups(m, pd.DataFrame({"image_id_a": ["i"], "image_id_b": ["k"], "verdict": ["same"]})).tolist()
    ['A', 'B', 'A']
    """
    code, names = pd.factorize(metadata["lesion_id"], sort=True)
    lesion = pd.Series(code, index=metadata["image_id"])
    same = pairs[pairs["verdict"] == "same"]
    unknown = (set(same["image_id_a"]) | set(same["image_id_b"])) - set(lesion.index)
    if unknown:
        raise ValueError(f"the duplicate pairs name {min(unknown)}, which the metadata lacks: correct the pairs file")
    a, b = lesion[same["image_id_a"]].to_numpy(), lesion[same["image_id_b"]].to_numpy()
    component = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(len(names),) * 2), directed=False)[1]
    first = pd.Series(names).groupby(component).min()
    return pd.Series(first[component[code]].to_numpy(), index=metadata.index, name="group")


def make(metadata, pairs, *, seed=SEED):
    """Deal groups to ten parts, stratified by diagnosis.

    Parameters
    ----------
    metadata, pairs : DataFrame
        See :func:`groups`; metadata also has ``dx``.
    seed : int
        Shuffles groups of equal size.

    Returns
    -------
    DataFrame
        ``image_id, group, part``, sorted by image; part is 0-9. A group with several diagnoses counts under its rarest.

    Examples
    --------
    >>> m = pd.DataFrame({"image_id": list("abcdefghij"), "lesion_id": list("ABCDEFGHIJ"), "dx": "nv"})
    >>> sorted(make(m, pairs("none"))["part"])
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    frame = metadata[["image_id", "dx"]].assign(group=groups(metadata, pairs)).sort_values("image_id")
    stratum = strata(frame)
    size = frame.groupby("group").size()
    generator, part, total = np.random.default_rng(seed), {}, np.zeros(PARTS)
    for dx in CLASSES:
        own = size[stratum[stratum == dx].index]
        own = own.iloc[generator.permutation(len(own))].sort_values(ascending=False, kind="stable")
        filled = np.zeros(PARTS)
        for name, n in own.items():
            # Ties go to the part that is emptiest over all diagnoses.
            where = np.lexsort((np.arange(PARTS), total, filled))[0]
            part[name] = where
            filled[where] += n
            total[where] += n
    return frame.assign(part=frame["group"].map(part))[["image_id", "group", "part"]].reset_index(drop=True)


def strata(frame):
    """Diagnosis under which each group is dealt: its rarest in ``frame`` (``group, dx``); the index is the group."""
    rarity = frame["dx"].map(frame["dx"].value_counts())
    return frame.assign(rarity=rarity).sort_values(["rarity", "dx"], kind="stable").groupby("group")["dx"].first()


def roles(split, fold):
    """Role of every image in a fold: a pure function of part and fold.

    Parameters
    ----------
    split : DataFrame
        With ``part``, 0-9.
    fold : int
        0-4.

    Returns
    -------
    Series of str
        ``test`` (parts 2f and 2f+1), ``calibrate`` (the next), ``select`` (the one after), ``train`` (the other six).

    Raises
    ------
    ValueError
        A fold outside 0-4.

    Examples
    --------
    >>> roles(pd.DataFrame({"part": range(10)}), 4).tolist()[:3]
    ['calibrate', 'select', 'train']
    """
    if fold not in range(PARTS // 2):
        raise ValueError(f"fold must be 0-4, got {fold}")
    offset = (split["part"] - 2 * fold) % PARTS
    return offset.map({0: "test", 1: "test", 2: "calibrate", 3: "select"}).fillna("train").rename("role")


def table(config):
    """Metadata joined with group and role, row i belonging to image i of the array.

    Parameters
    ----------
    config : TrainConfig or GeneratorConfig
        ``source`` and ``fold`` are read.

    Raises
    ------
    FileNotFoundError, ValueError
        No metadata or no split, or a split that lacks images.
    """
    frame, split = data.load_metadata(config.source), read(config.source)
    missing = set(frame["image_id"]) - set(split["image_id"])
    if missing:
        raise ValueError(f"the split of {config.source} lacks {len(missing)} images, {min(missing)} among them: run make split")
    split = split.assign(role=roles(split, config.fold)).drop(columns="part")
    return frame.merge(split, on="image_id", how="left", validate="one_to_one")


def class_counts(source, *, role, fold):
    """(7,) int images per class in one role, from the committed JSON: no data are needed."""
    table = json.loads(files(source)[1].read_text())["images_per_part"]
    part = (roles(pd.DataFrame({"part": range(PARTS)}), fold) == role).to_numpy()
    return np.array([np.array(table[code])[part].sum() for code in CLASSES])


def pairs(source):
    """Duplicate pairs that were looked at, with evidence and verdict; empty where a source has none."""
    file = files(source)[2]
    return pd.read_csv(file) if file.is_file() else pd.DataFrame(columns=["image_id_a", "image_id_b", "verdict"])


def sha256(source):
    """Sha256 of the split's CSV; FileNotFoundError where there is none yet."""
    file = files(source)[0]
    if not file.is_file():
        raise FileNotFoundError(f"there is no split {paths.relative(file)}: run make split")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def read(source):
    """The committed split: ``image_id, group, part``.

    Raises
    ------
    FileNotFoundError, ValueError
        It is absent, or is not the one that its JSON describes.
    """
    table, about, _ = files(source)
    digest = sha256(source)
    try:
        matches = digest == json.loads(about.read_text())["sha256"]
    except (FileNotFoundError, ValueError, KeyError):
        matches = False
    if not matches:
        raise ValueError(f"{paths.relative(table)} is not the split that {about.name} describes: restore both, or run make split")
    return pd.read_csv(table, dtype={"image_id": str, "group": str})


def write(source, split, metadata, *, seed=SEED):
    """Write a split and its JSON: sha256, seed, rule, counts by diagnosis, and the groups that hold several diagnoses."""
    table, about, _ = files(source)
    frame = split.merge(metadata[["image_id", "dx"]], on="image_id")
    mixed = frame.groupby("group")["dx"].unique()
    mixed = mixed[mixed.str.len() > 1]
    stratum = strata(frame)
    text = split.to_csv(index=False, lineterminator="\n")
    facts = dict(
        sha256=hashlib.sha256(text.encode()).hexdigest(), seed=seed, rule=RULE, images=len(split), groups=len(stratum),
        images_per_part={dx: row.tolist() for dx, row in pd.crosstab(frame["dx"], frame["part"]).iterrows()},
        mixed_groups={group: dict(diagnoses=sorted(dx), dealt_as=stratum[group]) for group, dx in mixed.items()},
    )
    # A kill between the two leaves a pair that read() refuses.
    paths.write(table, text)
    paths.write(about, json.dumps(facts, indent=1) + "\n")


def naive_leak(frame, *, seed=0, share=0.2):
    """What a random split of images leaks into its test set.

    Parameters
    ----------
    frame : DataFrame
        ``group`` (or ``lesion_id``) and ``dx``, one row per image.
    share : float
        Fraction of images for test, in (0, 1).

    Returns
    -------
    dict
        ``images``: fraction of test images with a sibling in train; ``mel``: the same among melanomas (nan without any);
        ``groups``: fraction of test lesions with one; ``count, mel_count, groups_count``: how many these are.

    Examples
    --------
    >>> leak = naive_leak(pd.DataFrame({"group": ["A", "A", "B", "B"], "dx": "mel"}), share=0.25)
    >>> leak["images"], leak["count"]
    (1.0, 1)
    """
    group = frame["group"] if "group" in frame else frame["lesion_id"]
    test = np.zeros(len(frame), bool)
    test[np.random.default_rng(seed).permutation(len(frame))[: round(share * len(frame))]] = True
    leaked = group.isin(set(group[~test]))
    mel = leaked[test & (frame["dx"] == "mel")]
    by_group = leaked[test].groupby(group[test]).any()
    return dict(
        images=float(leaked[test].mean()), mel=float(mel.mean()), groups=float(by_group.mean()),
        count=int(leaked[test].sum()), mel_count=int(mel.sum()), groups_count=int(by_group.sum()),
    )


@plainly()
def main(arguments=None):
    """``python -m helpers.splits SOURCE``: write the split of a source from its metadata and its confirmed pairs."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1:
        raise ValueError("say which source: python -m helpers.splits phantom (or ham10000)")
    metadata = data.load_metadata(given[0])
    split = make(metadata, pairs(given[0]))
    write(given[0], split, metadata)
    print(f"{paths.relative(files(given[0])[0])}: {len(split)} images, {split['group'].nunique()} groups, {sha256(given[0])[:8]}")


if __name__ == "__main__":
    main()
