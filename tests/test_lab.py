"""The leakage lab: the checker counts each mend on its own, and cannot be satisfied by an emptied pipeline."""

import pytest

from helpers import lab, paths

BROKEN = paths.ROOT / "notebooks" / "leakage_lab" / "pipeline.py"
# One mend each, as a student would begin.
MENDS = {
    "mean": ("mean = x.mean(axis=0)", "mean = x[~test].mean(axis=0)"),
    "generator": ("invent(x[is_mel], ", "invent(x[is_mel & ~test], "),
    "threshold": ("best_threshold(is_mel[test], p)", "best_threshold(train_y, model.predict_proba(train_x)[:, 1])"),
    "dx_type": (', SITES, "dx_type"]', ", SITES]"),
    "split": ("generator.random(len(frame)) < 0.3", "(frame['lesion_id'].str[-1].astype(int) < 3).to_numpy()"),
    "augment": ("frame, images = augment(frame, images)", "pass"),
}
# Some mends hold only after others: mirrored test images in training reach the mean, and the mean reaches all the rest.
AFTER = {"mean": ["augment"], "generator": ["augment", "mean"], "threshold": ["augment", "mean", "generator"]}


def mended(folder, *names):
    source = BROKEN.read_text()
    for name in names:
        assert MENDS[name][0] in source
        source = source.replace(*MENDS[name])
    file = folder / "pipeline.py"
    file.write_text(source)
    return file


def test_broken_and_mended_pipelines():
    broken, score = lab.check(BROKEN)
    solved, honest = lab.check(paths.ROOT / "notebooks" / "solutions" / "leakage_lab.py")
    assert (broken, solved) == (0, lab.LEAKS)
    assert honest < score - 0.05, "the leaks are worth nothing: the lab teaches nothing"


@pytest.mark.parametrize("name", MENDS)
def test_every_mend_counts(name, tmp_path):
    before = AFTER.get(name, [])
    assert lab.check(mended(tmp_path, *before, name))[0] == len(before) + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("return {", 'return {"score": 0} or {'), "must also return"),
        (("np.random.default_rng(seed)", "np.random.default_rng()"), "twice"),
        (("def run(", "def ran("), "no function run"),
    ],
)
def test_emptied_pipelines_are_refused(change, message, tmp_path):
    file = tmp_path / "pipeline.py"
    file.write_text(BROKEN.read_text().replace(*change))
    with pytest.raises(ValueError, match=message):
        lab.check(file)
