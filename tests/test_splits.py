"""Groups stay together, parts are balanced, roles are disjoint, and a split that was edited by hand is refused."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import data, paths, splits
from helpers.lesions import CLASSES


def collection(sizes, seed):
    """Metadata of lesions with the given numbers of images."""
    rng = np.random.default_rng(seed)
    rows = [(f"L{i:04d}", rng.choice(CLASSES, p=[0.1, 0.1, 0.1, 0.05, 0.1, 0.5, 0.05]), n) for i, n in enumerate(sizes)]
    frame = pd.DataFrame([(lesion, dx) for lesion, dx, n in rows for _ in range(n)], columns=["lesion_id", "dx"])
    return frame.assign(image_id=[f"I{i:05d}" for i in range(len(frame))])


def same(*pairs):
    """Confirmed duplicate pairs."""
    return pd.DataFrame(pairs, columns=["image_id_a", "image_id_b"]).assign(verdict="same")


@settings(max_examples=15)
@given(st.lists(st.integers(1, 4), min_size=20, max_size=120), st.integers(0, 5), st.data())
def test_groups_stay_whole_and_parts_balanced(sizes, seed, draw):
    frame = collection(sizes, seed)
    ids = frame["image_id"].tolist()
    picked = draw.draw(st.lists(st.tuples(st.sampled_from(ids), st.sampled_from(ids)), max_size=5))
    pairs = same(*picked)
    split = splits.make(frame, pairs)
    shuffled = splits.make(frame.sample(frac=1, random_state=seed), pairs)
    pd.testing.assert_frame_equal(split, shuffled)
    part = split.set_index("image_id")["part"]
    assert (split.groupby("group")["part"].nunique() == 1).all()
    assert (frame.assign(part=part[frame["image_id"]].to_numpy()).groupby("lesion_id")["part"].nunique() == 1).all()
    assert all(part[a] == part[b] for a, b in picked)
    whole = split.assign(dx=splits.strata(split.merge(frame, on="image_id")).loc[split["group"]].to_numpy())
    for _, own in whole.groupby("dx"):
        counts = own["part"].value_counts().reindex(range(10), fill_value=0)
        assert counts.max() - counts.min() <= own["group"].value_counts().max()


def test_chains_of_pairs_join_and_other_verdicts_do_not():
    frame = collection([1, 1, 1, 1], 0)
    pairs = pd.concat([same(("I00000", "I00001"), ("I00001", "I00002")), same(("I00002", "I00003")).assign(verdict="different")])
    assert splits.groups(frame, pairs).tolist() == ["L0000", "L0000", "L0000", "L0003"]
    with pytest.raises(ValueError, match="I9, which the metadata lacks"):
        splits.groups(frame, same(("I00000", "I9")))


def test_seed_decides():
    frame = collection([1, 2] * 60, 0)
    assert not splits.make(frame, same(), seed=1).equals(splits.make(frame, same(), seed=2))


def test_every_part_is_tested_once_and_roles_are_disjoint():
    split = pd.DataFrame({"part": range(10)})
    roles = pd.DataFrame({fold: splits.roles(split, fold) for fold in range(5)})
    assert ((roles == "test").sum(axis=1) == 1).all()
    assert all(roles[fold].value_counts().to_dict() == dict(train=6, test=2, calibrate=1, select=1) for fold in roles)
    assert roles[0].tolist() == ["test", "test", "calibrate", "select"] + ["train"] * 6
    with pytest.raises(ValueError, match="fold must be 0-4, got 5"):
        splits.roles(split, 5)


def test_group_with_two_diagnoses_is_dealt_under_the_rarest_and_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "SPLITS", tmp_path)
    frame = pd.DataFrame({"image_id": list("abcd"), "lesion_id": list("ABCD"), "dx": ["nv", "nv", "mel", "nv"]})
    split = splits.make(frame, same(("a", "c")))
    splits.write("x", split, frame)
    facts = json.loads((tmp_path / "x.json").read_text())
    assert facts["mixed_groups"] == {"A": {"diagnoses": ["mel", "nv"], "dealt_as": "mel"}}
    assert facts["sha256"] == splits.sha256("x") and facts["groups"] == 3
    pd.testing.assert_frame_equal(splits.read("x"), split)


def test_read_refuses_an_absent_or_edited_split(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "SPLITS", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no split .*x\.csv: run make split"):
        splits.read("x")
    frame = collection([1] * 10, 0)
    splits.write("x", splits.make(frame, splits.pairs("x")), frame)
    (tmp_path / "x.csv").write_text((tmp_path / "x.csv").read_text().replace(",3\n", ",4\n"))
    for spoil in (lambda: None, lambda: (tmp_path / "x.json").write_text("{"), (tmp_path / "x.json").unlink):
        spoil()
        with pytest.raises(ValueError, match=r"x\.csv is not the split that x.json describes"):
            splits.read("x")


def test_naive_leak_against_a_count_by_hand():
    frame = collection([1, 2, 3] * 20, 3)
    got = splits.naive_leak(frame, seed=4)
    test = frame.iloc[np.random.default_rng(4).permutation(len(frame))[: round(0.2 * len(frame))]]
    train = frame.drop(test.index)
    leaked = [lesion in set(train["lesion_id"]) for lesion in test["lesion_id"]]
    assert got["count"] == sum(leaked) and got["images"] == pytest.approx(np.mean(leaked))
    assert got["groups_count"] == test["lesion_id"][leaked].nunique()
    assert got["mel_count"] == (test["dx"][leaked] == "mel").sum()
    assert splits.naive_leak(frame.drop_duplicates("lesion_id"))["count"] == 0


@pytest.mark.parametrize("source", ["phantom", pytest.param("ham10000", marks=pytest.mark.real)])
def test_committed_split_is_what_make_split_gives(source):
    if not data.available(source):
        pytest.skip("no images")
    pd.testing.assert_frame_equal(splits.make(data.load_metadata(source), splits.pairs(source)), splits.read(source))


def test_command_names_its_source():
    with pytest.raises(SystemExit, match="say which source"):
        splits.main([])
    with pytest.raises(SystemExit, match="no source 'ham'"):
        splits.main(["ham"])
