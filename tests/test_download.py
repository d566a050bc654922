"""A broken-off download goes on where it stopped, a wrong checksum is refused, and nobody's file is overwritten."""

import hashlib
import http.server
import json
import re
import shutil
import threading

import pytest
from test_data import frame, lay

from helpers import data, download, paths

BIG, HALF, MASK = download.FILES["images"] + download.FILES["masks"]


class Dataverse(http.server.BaseHTTPRequestHandler):
    """A little Dataverse that can break off, and that honours Range."""

    files: dict = {}
    break_at: dict = {}  # name: bytes to send before hanging up, once
    lie: dict = {}  # name: MD5 to tell instead of the true one
    asked: list = []

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path.startswith("/api/datasets/"):
            files = [{"dataFile": self.about(name)} for name in self.files]
            return self.answer(json.dumps({"data": {"latestVersion": {"files": files}}}).encode())
        name = list(self.files)[int(self.path.rsplit("/", 1)[1])]
        asked = self.headers.get("Range")
        self.asked.append((name, asked))
        self.answer(self.files[name], int(asked[6:-1]) if asked else None, self.break_at.pop(name, None))

    def about(self, name):
        md5 = self.lie.get(name, hashlib.md5(self.files[name]).hexdigest())
        return {"id": list(self.files).index(name), "filename": name, "filesize": len(self.files[name]), "md5": md5}

    def answer(self, content, start=None, stop=None):
        self.send_response(200 if start is None else 206)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - (start or 0)))
        self.end_headers()
        self.wfile.write(content[start or 0 : stop])


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server that holds the little collection, and its address."""
    source = lay(tmp_path / "source", "dataverse")
    names = {"HAM10000_metadata": "HAM10000_metadata.tab"}
    Dataverse.files = {names.get(p.name, p.name): p.read_bytes() for p in sorted(source.iterdir())}
    Dataverse.files[BIG] = b"\0" * 3_000_000 + Dataverse.files[BIG]  # a zip may have something before it
    Dataverse.break_at, Dataverse.lie, Dataverse.asked = {}, {}, []
    monkeypatch.setattr(download, "PAUSE", 0)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dataverse) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_download_resumes_where_it_broke_off(tmp_path, monkeypatch, server):
    Dataverse.break_at = {BIG: 2_000_000}
    monkeypatch.setattr(download, "TRIES", 1)
    with pytest.raises(OSError, match=r"part_1\.zip broke off .*run make data again, it goes on from [12] MB"):
        download.fetch(tmp_path / "got", kinds=["images"], base=server)
    assert sorted(p.name for p in (tmp_path / "got").iterdir()) == [f"{BIG}.part"]
    have = (tmp_path / "got" / f"{BIG}.part").stat().st_size
    assert 1_000_000 < have <= 2_000_000
    files = download.fetch(tmp_path / "got", base=server)
    assert Dataverse.asked[:2] == [(BIG, None), ("HAM10000_metadata.tab", None)] and (BIG, f"bytes={have}-") in Dataverse.asked
    assert {f.name: f.read_bytes() for f in files} == Dataverse.files
    record = json.loads((tmp_path / "got" / download.REGISTRY).read_text())
    assert record[BIG] == "sha256:" + hashlib.sha256(Dataverse.files[BIG]).hexdigest()
    asked = len(Dataverse.asked)
    download.fetch(tmp_path / "got", base=server)
    assert len(Dataverse.asked) == asked and len(download.verify(tmp_path / "got")) == 4
    (tmp_path / "got" / BIG).write_bytes(b"other")
    for again in (lambda: download.verify(tmp_path / "got"), lambda: download.fetch(tmp_path / "got", base=server)):
        with pytest.raises(ValueError, match=BIG.replace(".", r"\.")):
            again()
    assert (tmp_path / "got" / BIG).read_bytes() == b"other"  # somebody's file is never overwritten


def test_download_tries_again_by_itself_and_refuses_a_wrong_checksum(tmp_path, server):
    Dataverse.break_at = {MASK: 100}
    assert download.fetch(tmp_path / "got", kinds=["masks"], base=server)[0].read_bytes() == Dataverse.files[MASK]
    Dataverse.lie = {HALF: "0" * 32}
    with pytest.raises(ValueError, match=r"part_2\.zip arrived with another checksum than md5:0+ and was thrown away"):
        download.fetch(tmp_path / "got", kinds=["images"], base=server)
    assert {p.name for p in (tmp_path / "got").iterdir()} == {MASK, BIG, download.REGISTRY}


def test_download_refuses_before_it_starts(tmp_path, monkeypatch, server):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(OSError, match=r"the download needs 3 MB and got/ has 1 MB free"):
        download.fetch(tmp_path / "got", base=server)
    assert Dataverse.asked == []
    with pytest.raises(OSError, match=r"does not list doi:10\.7910.*try later, or fetch HAM10000_metadata by hand"):
        download.fetch(tmp_path / "got", kinds=["metadata"], base="http://127.0.0.1:9")
    del Dataverse.files["HAM10000_metadata.tab"]
    with pytest.raises(OSError, match=r"no longer lists HAM10000_metadata"):
        download.fetch(tmp_path / "got", kinds=["metadata"], base=server)


def test_make_data_fetches_and_verifies(tmp_path, monkeypatch, capsys, server):
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("HAM10000_DIR", str(tmp_path / "ham"))
    monkeypatch.setattr(download.fetch, "__kwdefaults__", download.fetch.__kwdefaults__ | {"base": server})
    with pytest.raises(SystemExit, match="labels differ from those of the committed split"):
        data.main()
    monkeypatch.setattr(data, "LABELS", data.labels_sha256(frame()))
    data.main()
    assert re.search(r"ham: 6 images and masks, labels as expected, 4 files as first downloaded", capsys.readouterr().out)
