"""The near-duplicate search: pictures whose truth is known, and the committed pairs."""

from functools import cache

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import duplicates, paths

H, W = 150, 200
COLUMNS = ["image_id_a", "image_id_b", *duplicates.EVIDENCE, "verdict", "note"]


@cache
def picture(seed, size=(3 * H // 2, 3 * W // 2)):
    """Brown blotches of several sizes on skin: texture that a lesion might have."""
    generator, field = np.random.default_rng(seed), np.zeros(size)
    for sigma in (3, 6, 12, 25):
        noise = cv2.GaussianBlur(generator.standard_normal(size), (0, 0), sigma)
        field += noise / noise.std()
    return np.clip(field[..., None] * (14, 20, 18) + (180, 140, 120), 0, 255).astype(np.uint8)


def photograph(scene, *, turn=0.0, zoom=1.0, gain=1.0, shift=(0, 0)):
    """The middle of a scene, turned (degrees, anticlockwise), zoomed, relit and shifted (pixels)."""
    matrix = cv2.getRotationMatrix2D((scene.shape[1] / 2, scene.shape[0] / 2), turn, zoom)
    matrix[:, 2] += np.array([W - scene.shape[1], H - scene.shape[0]]) / 2 + shift
    out = cv2.warpAffine(scene, matrix, (W, H), flags=cv2.INTER_AREA)
    return np.clip(out * (gain * np.array([1.1, 1.0, 0.9])), 0, 255).astype(np.uint8)


def evidence(one, two):
    return duplicates.verify(duplicates.features(one), duplicates.features(two))


def wrapped(degrees):
    return (degrees + 180) % 360 - 180


@settings(max_examples=6, derandomize=True)
@given(st.integers(0, 99), st.floats(-179, 179), st.floats(0.7, 1.4), st.floats(0.7, 1.1))
def test_same_scene_is_found_with_its_turn_and_zoom(seed, turn, zoom, gain):
    scene = picture(seed)
    found = evidence(photograph(scene), photograph(scene, turn=turn, zoom=zoom, gain=gain, shift=(9, -6)))
    assert found["inliers"] >= 13, found
    assert found["scale"] == pytest.approx(zoom, rel=0.05)
    assert abs(wrapped(found["angle_deg"] + turn)) < 3  # image rows point down, so the sign turns


@settings(max_examples=6, derandomize=True)
@given(st.integers(0, 99), st.integers(100, 199))
def test_different_scenes_are_not(one, two):
    assert evidence(photograph(picture(one)), photograph(picture(two)))["inliers"] <= 7


def test_identical_pixels_fit_without_turn_or_zoom():
    image = photograph(picture(1))
    found = evidence(image, image.copy())
    assert found["inliers"] == found["matches"] > 100
    assert (found["scale"], found["angle_deg"]) == pytest.approx((1, 0), abs=1e-3)


@pytest.mark.parametrize("blank", [0, 128, 255])
def test_a_picture_without_texture_gives_no_evidence(blank):
    flat = np.full((H, W, 3), blank, np.uint8)
    found = evidence(flat, photograph(picture(1)))
    assert found["inliers"] == found["matches"] == 0 and np.isnan(found["scale"])


def test_implausible_zoom_counts_for_nothing():
    rng = np.random.default_rng(0)
    points, descriptors = rng.uniform(0, 100, (30, 2)).astype(np.float32), rng.integers(0, 255, (30, 128)).astype(np.uint8)
    assert duplicates.verify((points, descriptors), (points * 4, descriptors))["inliers"] == 0
    assert duplicates.verify((points, descriptors), (points * 2, descriptors))["inliers"] == 30


def test_matches_are_mutual_and_beat_their_runner_up():
    one = np.zeros((3, 128), np.uint8)
    one[:, :3] = np.eye(3) * 100
    two = one[[1, 0, 2, 2]].copy()
    two[3, 5] = 90  # a poorer copy, clearly farther
    assert [x.tolist() for x in duplicates.matches(one, two)] == [[0, 1, 2], [1, 0, 2]]
    two[[2, 3], [5, 5]] = 10, 12  # at distances 10 and 12: ambiguous
    assert [x.tolist() for x in duplicates.matches(one, two)] == [[0, 1], [1, 0]]
    rival = np.concatenate([one, one[:1] + np.uint8(4)])  # its nearest is taken by a better one
    assert [x.tolist() for x in duplicates.matches(rival, two)] == [[0, 1], [1, 0]]


def test_evidence_is_the_same_every_time():
    one, two = photograph(picture(3)), photograph(picture(3), turn=40, zoom=1.2)
    assert evidence(one, two) == evidence(one, two)


def test_candidates_see_a_turned_twin_only_through_the_turned_view():
    rng = np.random.default_rng(0)
    upright, turned = rng.standard_normal((2, 6, 16))
    turned[4] = upright[1] * 3  # image 4, once turned, looks like image 1; length must not matter
    best = duplicates.candidates(np.stack([upright, turned]), list("ABCDEF"), k=1).iloc[0]
    assert (best["a"], best["b"]) == (1, 4) and best["similarity"] > 0.9
    plain = duplicates.candidates(upright[None], list("ABCDEF"), k=5)
    assert plain.set_index(["a", "b"])["similarity"].loc[(1, 4)] < 0.8


@settings(max_examples=25, derandomize=True)
@given(st.integers(2, 30), st.integers(1, 40), st.integers(1, 7), st.integers(0, 99))
def test_candidates_equal_a_plain_loop_and_never_join_a_lesion_to_itself(n, k, chunk, seed):
    rng = np.random.default_rng(seed)
    views, lesion = rng.standard_normal((2, n, 5)), rng.integers(0, max(2, n // 2), n)
    got = duplicates.candidates(views, lesion, k=k, chunk=chunk)
    unit = views - views.mean((0, 1))
    unit /= np.linalg.norm(unit, axis=2, keepdims=True)
    wanted = {}
    for view in unit:
        for i in range(n):
            others = sorted((-(view[i] @ unit[0][j]), j) for j in range(n) if lesion[j] != lesion[i])
            for minus, j in others[: min(k, n - 1)]:
                pair = (min(i, j), max(i, j))
                wanted[pair] = max(wanted.get(pair, -1), -minus)
    assert dict(zip(zip(got["a"], got["b"], strict=True), got["similarity"], strict=True)) == pytest.approx(wanted, abs=1e-5)
    assert got["similarity"].is_monotonic_decreasing


def test_search_puts_the_planted_pair_first_and_keeps_every_pair():
    scenes = [picture(seed) for seed in range(6)]
    images = np.stack([photograph(s) for s in scenes] + [photograph(scenes[2], turn=75, zoom=0.8, gain=0.8)])
    pairs = duplicates.candidates(duplicates.thumbnails(images), range(7), k=6)
    found = duplicates.search(images, pairs, workers=1)
    assert len(found) == len(pairs) == 21
    assert found.loc[0, ["a", "b"]].tolist() == [2, 6] and found["inliers"][0] >= 13 > found["inliers"][1]
    pd.testing.assert_frame_equal(found, duplicates.search(images, pairs, workers=2))


@pytest.mark.parametrize("source", ["ham10000", "phantom"])
def test_committed_pairs_are_ordered_unique_and_judged(source):
    file = paths.SPLITS / f"{source}_duplicates.csv"
    if not file.is_file():
        pytest.skip(f"{file.name} is not there")
    table = pd.read_csv(file)
    assert list(table) == COLUMNS
    assert (table["image_id_a"] < table["image_id_b"]).all()
    assert not table.duplicated(["image_id_a", "image_id_b"]).any()
    assert set(table["verdict"]) <= {"same", "different"}
    assert (table["inliers"] <= table["matches"]).all() and table["scale"].between(0.33, 3).all()
