"""What ``make bench`` measures still runs and gives the rows of the README's table; how fast it is is not asked here."""

import pytest

from benchmarks import bootstrap, coverage, generator, gradcam, training
from helpers import presets

SMALL = {
    bootstrap: dict(IMAGES=60, LESIONS=40, RESAMPLES=4, LOOPED=2), coverage: dict(REPLICATES=2, RESAMPLES=20),
    generator: dict(STEPS=1, DRAWN=7), gradcam: dict(BATCH=2, ROUNDS=2, MANY=4, CHUNK=4),
}


@pytest.mark.parametrize("part", SMALL, ids=lambda part: part.__name__.rpartition(".")[2])
def test_a_measurement_gives_rows_of_the_table(part, monkeypatch):
    for name, value in SMALL[part].items():
        monkeypatch.setattr(part, name, value)
    rows = part.measure()
    assert rows and all({"name", "value", "unit", "reference", "ratio"} <= set(row) for row in rows)
    assert all(isinstance(row["value"], float) and row["value"] >= 0 for row in rows)


def test_training_is_watched_epoch_by_epoch(small_project, tmp_path):
    config = presets.configure("quick", "tiny", epochs=2, image_size=32, cache_size=32)
    epochs = training.ours(config, tmp_path)
    assert len(epochs) == 2 and all(seconds > 0 and images > 0 for seconds, images in epochs)
