"""Fetch HAM10000 from Harvard Dataverse: every file resumes where it broke off, and counts only once it is checked."""

import errno
import json
import os
import shutil
import time
from functools import partial
from pathlib import Path

import pooch
import requests
from pooch.hashes import hash_matches

from helpers import paths
from helpers.progress import tqdm

BASE = "https://dataverse.harvard.edu"
DOI = "doi:10.7910/DVN/DBW86T"
FILES = {
    "metadata": ("HAM10000_metadata",),
    "images": ("HAM10000_images_part_1.zip", "HAM10000_images_part_2.zip"),
    "masks": ("HAM10000_segmentations_lesion_tschandl.zip",),
}
# Nobody publishes sha256 sums of these files. Dataverse's own MD5 checks the transfer; the sha256 of the first download
# is written to this file beside the data, and later calls hold the files to it.
REGISTRY = "checksums.json"
TRIES = 5
PAUSE = 2.0  # seconds, growing with every try
BLOCK = 1 << 18


def fetch(folder, *, kinds=tuple(FILES), base=BASE):
    """Fetch the files of some kinds that are not in a folder yet.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.
    kinds : sequence of {"metadata", "images", "masks"}
    base : str
        Address of the Dataverse server.

    Returns
    -------
    list of Path

    Raises
    ------
    ValueError
        A wrong checksum; a fresh download that has one is thrown away.
    OSError
        No connection, or no space; what arrived is kept, and the next call goes on from there.

    References
    ----------
    Tschandl (2018), The HAM10000 dataset, Harvard Dataverse, doi:10.7910/DVN/DBW86T, CC BY-NC 4.0.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel("WARNING")
    entries = listing([name for kind in kinds for name in FILES[kind]], base=base)
    check_space(folder, entries)
    return [fetch_one(folder, entry) for entry in entries]


def listing(names, *, base=BASE):
    """What the server says about some files: list of ``{name, url, size, md5}``.

    Tabular files arrive converted, so the size and MD5 of the upload say nothing about them (None).
    """
    url = f"{base}/api/datasets/:persistentId/"
    try:
        answer = requests.get(url, params={"persistentId": DOI}, timeout=60)
        answer.raise_for_status()
        items = [file["dataFile"] for file in answer.json()["data"]["latestVersion"]["files"]]
        found = {Path(item["filename"]).stem: item for item in items}
    except (requests.RequestException, ValueError, KeyError) as error:
        fault = type(error).__name__
        raise OSError(f"{base} does not list {DOI} ({fault}): try later, or fetch {', '.join(names)} by hand") from None
    missing = [name for name in names if Path(name).stem not in found]
    if missing:
        raise OSError(f"{base} no longer lists {', '.join(missing)} under {DOI}: fetch the data by hand")
    wanted = [found[Path(name).stem] for name in names]
    return [dict(name=item["filename"], url=f"{base}/api/access/datafile/{item['id']}", **facts(item)) for item in wanted]


def facts(item):
    """Size in bytes and MD5 of a listed file, None where they are unknown or meaningless."""
    if item["filename"].endswith(".tab"):
        return dict(size=None, md5=None)
    checksum = item.get("checksum", {})
    md5 = item.get("md5") or (checksum.get("value") if checksum.get("type") == "MD5" else None)
    return dict(size=item.get("filesize"), md5=md5)


def check_space(folder, entries):
    """Refuse before anything is fetched that would not fit; OSError says how much is needed and free."""
    need = 0
    for entry in entries:
        if not (folder / entry["name"]).exists():
            need += max(0, (entry["size"] or 0) - size_of(part_of(folder, entry)))
    free = shutil.disk_usage(folder).free
    if need > free:
        raise OSError(f"the download needs {need / 1e6:.0f} MB and {folder.name}/ has {free / 1e6:.0f} MB free: free some space")


def part_of(folder, entry):
    """Where a file lies until it is whole."""
    return folder / f"{entry['name']}.part"


def size_of(file):
    """Size in bytes; 0 where there is no file."""
    return file.stat().st_size if file.exists() else 0


def fetch_one(folder, entry):
    """Fetch and check one file, or check the one that is there; its sha256 is recorded."""
    name, record = entry["name"], recorded(folder)
    known = record.get(name) or (f"md5:{entry['md5']}" if entry["md5"] else None)
    file = folder / name
    if file.exists() and known and not hash_matches(file, known):
        raise ValueError(f"{name} is not the file with the known checksum {known}: move it away and run make data again")
    get = partial(resume, part=part_of(folder, entry), size=entry["size"])
    try:
        pooch.retrieve(entry["url"], known, fname=name, path=folder, downloader=get)
    except ValueError:
        raise ValueError(f"{name} arrived with another checksum than {known} and was thrown away: run make data again") from None
    record[name] = f"sha256:{pooch.file_hash(str(file))}"
    paths.write(folder / REGISTRY, json.dumps(record, indent=1) + "\n")
    return file


def recorded(folder):
    """Checksums of the first download: ``{name: "sha256:..."}``; empty where nothing was downloaded."""
    file = Path(folder) / REGISTRY
    try:
        return json.loads(file.read_text()) if file.exists() else {}
    except ValueError:
        raise ValueError(f"{file.name} is not valid JSON: delete it, and make data records the checksums anew") from None


def verify(folder):
    """Hold downloaded files to their recorded checksums; ValueError names every file that changed."""
    folder = Path(folder)
    record = recorded(folder)
    present = {name: known for name, known in record.items() if (folder / name).exists()}
    changed = [name for name, known in present.items() if not hash_matches(folder / name, known)]
    if changed:
        raise ValueError(f"{', '.join(changed)} changed since the download: delete and run make data again")
    return list(present)


def resume(url, output, _pooch, *, part, size):
    """Downloader for pooch that goes on where an earlier one stopped, and tries again when a connection breaks.

    Parameters
    ----------
    url, output : str
    part : Path
        Collects the bytes over several tries and several calls.
    size : int or None
        Bytes of the whole file; without it a try starts from the beginning.
    """
    for attempt in range(TRIES):
        try:
            append(url, part, size)
            if size is None or size_of(part) == size:
                return os.replace(part, output)
            fault = f"{size_of(part)} of {size} bytes"
        except requests.RequestException as error:
            fault = str(error) if isinstance(error, requests.HTTPError) else type(error).__name__
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise OSError(f"the disk is full while {part.stem} is fetched: free some space and run make data again") from None
            raise
        time.sleep(PAUSE * attempt)
    raise OSError(f"{part.stem} broke off ({fault}): run make data again, it goes on from {size_of(part) / 1e6:.0f} MB")


def append(url, part, size):
    """One try: ask for the bytes that ``part`` lacks and add them."""
    have = size_of(part) if size else 0
    if have and have == size:
        return
    if have > (size or 0):
        part.unlink()
        have = 0
    # Without "identity" a server may compress, and byte positions would mean something else.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=(20, 120)) as answer:
        if answer.status_code not in (200, 206):
            raise requests.HTTPError(f"HTTP {answer.status_code}")
        goes_on = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        start = have if goes_on else 0
        bar = tqdm(total=size, initial=start, unit="B", unit_scale=True, desc=part.stem, leave=False)
        with part.open("ab" if goes_on else "wb") as out, bar:
            for block in answer.iter_content(BLOCK):
                out.write(block)
                bar.update(len(block))
