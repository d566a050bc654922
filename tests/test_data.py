"""Every form of HAM10000 loads to the same arrays; bad input stops with one sentence; nothing half-written is trusted."""

import errno
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers import cache, data, paths, pictures

H, W = 30, 40
N = 6


def jpeg(seed, *, mode="RGB", kind="JPEG", size=(W, H), **options):
    """One smooth picture as bytes."""
    field = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(field).resize(size, Image.Resampling.BICUBIC).convert(mode).save(out, kind, **options)
    return out.getvalue()


def frame():
    """Metadata of six images of five lesions."""
    return pd.DataFrame({
        "lesion_id": ["L0", "L0", "L1", "L2", "L3", "L4"],
        "image_id": [f"I{i}" for i in range(N)],
        "dx": ["nv", "nv", "mel", "bcc", "df", "nv"],
        "dx_type": "histo",
        "age": [50.0, 50.0, np.nan, 35.0, 80.0, 5.0],
        "sex": ["male", "male", "unknown", "female", "male", "female"],
        "localization": "back",
    })


def masks():
    """Lesion masks as PNG bytes, by file name."""
    out = {}
    for i in range(N):
        mask = np.zeros((H, W), np.uint8)
        mask[5:20, 5 : 15 + i] = 255
        out[f"I{i}_segmentation.png"] = io.BytesIO()
        Image.fromarray(mask).save(out[f"I{i}_segmentation.png"], "PNG")
    return {name: content.getvalue() for name, content in out.items()}


def lay(folder, form):
    """Lay the little collection out as somebody ships it."""
    images = {f"I{i}.jpg": jpeg(i) for i in range(N)}
    halves = dict(list(images.items())[:3]), dict(list(images.items())[3:])
    parts = {
        "dataverse": {"HAM10000_images_part_1.zip": halves[0], "HAM10000_images_part_2.zip": halves[1],
                      "HAM10000_segmentations_lesion_tschandl.zip": masks() | {"__MACOSX/._I0_segmentation.png": b"x"}},
        "kaggle": {"HAM10000_images_part_1": halves[0], "HAM10000_images_part_2": halves[1], "masks": masks()},
        "folder": {"images": images, "masks": masks()},
        "zip": {"images.zip": images, "masks.zip": masks()},
    }[form]
    folder.mkdir(parents=True)
    for name, files in parts.items():
        if name.endswith(".zip"):
            with zipfile.ZipFile(folder / name, "w") as archive:
                for member, content in files.items():
                    archive.writestr(member, content)
        else:
            (folder / name).mkdir()
            for member, content in files.items():
                (folder / name / member).write_bytes(content)
    name, separator = ("HAM10000_metadata", "\t") if form == "dataverse" else ("HAM10000_metadata.csv", ",")
    frame().sample(frac=1, random_state=0).to_csv(folder / name, sep=separator, index=False)
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A small collection in one folder, with a cache of its own."""
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("HAM10000_DIR", str(tmp_path / "ham"))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    return lay(tmp_path / "ham", "folder")


def left(folder):
    """Arrays and half-written files in a cache folder."""
    return sorted(p.name for p in folder.glob("*") if p.suffix in (".npy", ".part")) if folder.exists() else []


def test_every_form_gives_the_same_arrays_and_fingerprint(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    seen = {}
    for form in ("dataverse", "kaggle", "folder", "zip"):
        folder = lay(tmp_path / form, form)
        metadata = data.load_metadata("ham10000", folder=folder)
        assert metadata["image_id"].tolist() == [f"I{i}" for i in range(N)] and metadata["sex"].isna().sum() == 1
        images, lesion = data.load_images("ham10000", 24, folder=folder), data.load_masks("ham10000", 24, folder=folder)
        assert images.shape == (N, 24, 32, 3) and lesion.shape == (N, 24, 32) and lesion.dtype == bool
        assert lesion[0, 8, 8] and not lesion[0, 20, 20]
        seen[form] = (images.tobytes(), lesion.tobytes(), data.fingerprint("ham10000", folder=folder))
    assert len(set(seen.values())) == 1
    assert len(left(tmp_path / "cache")) == 2


def test_a_zip_is_opened_once_however_many_pictures_it_holds(tmp_path, monkeypatch):
    where = pictures.locate(lay(tmp_path / "ham", "dataverse"), "images")
    opened = []
    real = zipfile.ZipFile
    monkeypatch.setattr(zipfile, "ZipFile", lambda file: opened.append(file.name) or real(file))
    out = np.zeros((N, 12, 16, 3), np.uint8)
    pictures.fill(where, out, lambda content: pictures.decode(content, 12))
    assert sorted(opened) == ["HAM10000_images_part_1.zip", "HAM10000_images_part_2.zip"] and out.any()


def test_any_resolution_and_the_cache_follow_the_content(home):
    assert data.load_images("ham10000", 12).shape == (N, 12, 16, 3)
    before, images = data.fingerprint("ham10000"), np.array(data.load_images("ham10000", 24))
    stat = (home / "images" / "I2.jpg").stat()
    os.utime(home / "images" / "I2.jpg", ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
    assert data.fingerprint("ham10000") == before
    (home / "images" / "I2.jpg").write_bytes(jpeg(99))
    after = data.load_images("ham10000", 24)
    assert data.fingerprint("ham10000") != before and (after[2] != images[2]).any() and (after[3] == images[3]).all()


def test_phantom_matches_its_metadata(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    small = data.load_metadata("phantom").head(8)
    monkeypatch.setattr(data, "load_metadata", lambda source, folder=None: small)
    assert data.load_images("phantom", 16).shape == (8, 16, 21, 3)
    assert 0.02 < data.load_masks("phantom", 16).mean() < 0.9
    key = data.fingerprint("phantom")
    monkeypatch.setattr(data, "code", lambda: b"another way to draw")
    assert data.fingerprint("phantom") != key


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f: f.drop(columns="dx_type"), "lacks the column dx_type"),
        (lambda f: f.assign(dx=f["dx"].replace("df", "wart")), r"dx 'wart' \(isin"),
        (lambda f: f.assign(image_id=f["image_id"].replace("I1", "I0")), r"image_id 'I0' \(field_uniqueness\)"),
        (lambda f: f.assign(dx=["nv", "mel", *f["dx"][2:]]), "gives two diagnoses to lesion L0 "),
        (lambda f: f.assign(age=f["age"].replace(35, 350)), r"age 350.0 \(in_range\(0, 120\)"),
        (lambda f: f.assign(age=["old", *f["age"][1:]]), "age that is no number"),
        (lambda f: f.assign(lesion_id=[None, *f["lesion_id"][1:]]), r"lesion_id nan \(not_nullable\)"),
    ],
)
def test_bad_metadata(home, change, told):
    change(frame()).to_csv(home / "HAM10000_metadata.csv", index=False)
    with pytest.raises(ValueError, match=told) as error:
        data.load_images("ham10000", 24)
    assert "\n" not in str(error.value) and "HAM10000_metadata.csv" in str(error.value)


def test_metadata_that_are_no_table(home):
    for content in (b"", b"\xff\xfe\x00", b'a,b\n"'):
        (home / "HAM10000_metadata.csv").write_bytes(content)
        with pytest.raises(ValueError, match=r"HAM10000_metadata\.csv (is no table|lacks the column)"):
            data.load_metadata("ham10000")


def test_no_data(tmp_path, monkeypatch):
    monkeypatch.setenv("HAM10000_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"nowhere/: run make data, or set HAM10000_DIR"):
        data.load_images("ham10000", 24)
    with pytest.raises(FileNotFoundError, match=r"no data folder nowhere/: run make data"):
        pictures.locate(tmp_path / "nowhere", "images")
    assert not data.available("ham10000") and data.available("phantom")
    with pytest.raises(ValueError, match="no source 'isic': choose phantom or ham10000"):
        data.load_metadata("isic")


def test_missing_pictures_are_named_at_once(home):
    for name in ("I1", "I4"):
        (home / "images" / f"{name}.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"2 images are missing, run make data: I1, I4$"):
        data.load_images("ham10000", 24)
    shutil.rmtree(home / "masks")
    with pytest.raises(FileNotFoundError, match="no masks in ham/"):
        data.load_masks("ham10000", 24)


def test_broken_pictures_are_named_at_once_and_leave_no_cache(home):
    good = jpeg(1)
    (home / "images" / "I1.jpg").write_bytes(good[: len(good) // 2])
    (home / "images" / "I2.jpg").write_bytes(b"")
    (home / "images" / "I4.jpg").write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match=r"3 pictures are broken.*I1 \(.*[Tt]runcated.*I2 \(zero bytes\); I4 \(not an image\)$"):
        data.load_images("ham10000", 24)
    assert left(paths.CACHE) == []


def test_odd_pictures_become_upright_rgb():
    plain = pictures.decode(jpeg(0, kind="PNG"), 24).astype(int)
    grey = pictures.decode(jpeg(0, mode="L", kind="PNG"), 24)
    assert grey.shape == (24, 32, 3) and (grey[..., 0] == grey[..., 2]).all()
    cmyk = pictures.decode(jpeg(0, mode="CMYK", quality=95), 24)
    assert abs(cmyk - plain).mean() < 6
    clear = Image.new("RGBA", (W, H), (255, 0, 0, 0))
    out = io.BytesIO()
    clear.save(out, "PNG")
    assert (pictures.decode(out.getvalue(), 24) == 255).all()
    assert abs(pictures.decode(jpeg(0, mode="P", kind="PNG"), 24) - plain).mean() < 40
    turned = Image.open(io.BytesIO(jpeg(0, kind="PNG"))).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a turn by 90 degrees clockwise
    turned.save(out := io.BytesIO(), "PNG", exif=exif)
    np.testing.assert_array_equal(pictures.decode(out.getvalue(), 24), plain)


def test_twenty_thousand_pixels_wide():
    wide = jpeg(0, size=(20_000, 500))
    assert pictures.decode(wide, 24).shape == (24, 32, 3)
    huge = io.BytesIO()
    Image.new("1", (20_000, 15_000)).save(huge, "PNG")
    with pytest.raises(ValueError, match=r"exceeds limit|more than 30 million"):
        pictures.decode(huge.getvalue(), 24)


@settings(max_examples=60)
@given(st.sampled_from(["JPEG", "PNG"]), st.data())
def test_damaged_bytes_give_a_picture_or_a_sentence(kind, draw):
    content = bytearray(jpeg(0, kind=kind))
    for spot in draw.draw(st.lists(st.integers(0, len(content) - 1), max_size=5)):
        content[spot] = draw.draw(st.integers(0, 255))
    content = content[: draw.draw(st.integers(0, len(content)))]
    try:
        assert pictures.decode(bytes(content), 12).shape == (12, 16, 3)
    except ValueError as error:
        assert str(error)


def test_half_downloaded_zip_and_bad_member(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    folder = lay(tmp_path / "ham", "zip")
    whole = (folder / "images.zip").read_bytes()
    spoilt = bytearray(whole)
    spoilt[60] ^= 255  # inside the first picture: its CRC no longer holds
    (folder / "images.zip").write_bytes(spoilt)
    with pytest.raises(ValueError, match=r"1 pictures are broken.*I0 \(Bad CRC-32"):
        data.load_images("ham10000", 24, folder=folder)
    (folder / "images.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"images\.zip is not a whole zip file: delete it"):
        data.load_images("ham10000", 24, folder=folder)


def test_full_disk(home, monkeypatch):
    usage = shutil.disk_usage(home)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(OSError, match=r"needs 0\.0 MB and 0\.0 MB are free: free some space"):
        data.load_images("ham10000", 24)
    monkeypatch.undo()
    monkeypatch.setattr(paths, "CACHE", home / "cache")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"the disk is full while x-4-abc\.npy is written: free"):
        cache.write(_made(home / "cache") / "x-4-abc.npy", (2, 4, 4), lambda out: None)
    assert left(home / "cache") == []


def _made(folder):
    folder.mkdir()
    return folder


def test_killed_while_building_leaves_nothing_that_counts(tmp_path, monkeypatch):
    script = f"""
import os, signal, sys
from pathlib import Path
from helpers import cache, paths
paths.CACHE = Path({str(tmp_path)!r})
def build(out):
    out[:1] = 7
    out.flush()
    os.kill(os.getpid(), signal.SIGKILL)
cache.cached("x", "k" * 8, (3, 4, 5), build)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=paths.ROOT, check=False)
    assert done.returncode == -signal.SIGKILL and left(tmp_path) == ["x-4-kkkkkkkk.part"]
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    array = cache.cached("x", "k" * 8, (3, 4, 5), lambda out: out.fill(3))
    assert (array == 3).all() and left(tmp_path) == ["x-4-kkkkkkkk.npy"]
    file = tmp_path / "x-4-kkkkkkkk.npy"
    file.write_bytes(file.read_bytes()[:-9])  # cut off by a copy that broke
    assert (cache.cached("x", "k" * 8, (3, 4, 5), lambda out: out.fill(4)) == 4).all()


def test_two_builders_build_once(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    calls, gate = [], threading.Barrier(2)

    def build(out):
        calls.append(1)
        out.fill(1)

    def want():
        gate.wait()
        cache.cached("x", "k" * 8, (50, 40, 50), build)

    threads = [threading.Thread(target=want) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [1]


@pytest.mark.real
def test_real_metadata():
    if not data.available("ham10000"):
        pytest.skip("no images")
    metadata = data.load_metadata("ham10000")
    assert len(metadata) == 10015 and metadata["lesion_id"].nunique() == 7470 and metadata["age"].isna().sum() == 57
    assert metadata["dx"].value_counts().to_dict() == dict(nv=6705, mel=1113, bkl=1099, bcc=514, akiec=327, vasc=142, df=115)
    assert data.labels_sha256(metadata) == data.LABELS
