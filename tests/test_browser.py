"""A notebook as a student meets it: opened in JupyterLab in a real browser, all cells run, the slider moved."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.error import URLError
from urllib.request import urlopen

import nbformat
import pytest

from helpers import paths

CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NOTEBOOK = "06_threshold_analysis.ipynb"  # the one with a widget; from published predictions it takes seconds
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells are in the page, not only those in view
}
MINUTE = 60_000  # milliseconds


@contextmanager
def jupyter_lab(home):
    """JupyterLab over an empty HOME with a copy of the notebook; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, values in SETTINGS.items():
        file = home / "settings/@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    own = dict(HOME=home, JUPYTER_CONFIG_DIR=home, JUPYTER_DATA_DIR=home, JUPYTERLAB_SETTINGS_DIR=home / "settings", IPYTHONDIR=home)
    options = dict(port=port, port_retries=0, ip="127.0.0.1", token="student", root_dir=home / "work", open_browser=False, allow_root=True)
    flags = [f"--ServerApp.{key}={value}" for key, value in options.items()]
    command = [sys.executable, "-m", "jupyterlab", "--LabApp.extension_manager=readonly", *flags]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, env=os.environ | {key: str(value) for key, value in own.items()}, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}/lab"
            wait_for(f"{address}?token=student", server)
            yield f"{address}/tree/{NOTEBOOK}?token=student"
        finally:
            server.terminate()
            server.wait(30)


def wait_for(address, server, *, seconds=120):
    """Return once the server answers."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and server.poll() is None:
        try:
            return urlopen(address, timeout=5).close()
        except (URLError, OSError):
            time.sleep(0.3)
    raise RuntimeError("JupyterLab did not start")


def run_all(page, playwright):
    """From the menu, as a student does; returns when no cell waits any longer, after an error too."""
    playwright.expect(page.get_by_text("| Idle", exact=False)).to_be_visible(timeout=2 * MINUTE)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    prompts = page.locator(".jp-CodeCell .jp-InputPrompt")
    playwright.expect(prompts.first).to_have_text("[1]:", timeout=MINUTE)
    playwright.expect(prompts.filter(has_text="*")).to_have_count(0, timeout=4 * MINUTE)


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: install one, or name it in CHROMIUM")
def test_a_student_opens_a_notebook_runs_all_and_moves_the_slider(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    book = nbformat.read(paths.ROOT / "notebooks" / NOTEBOOK, as_version=4)
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.source = cell.source.replace('PRESET = "quick"', 'PRESET = "course"')
    (tmp_path / "work").mkdir()
    nbformat.write(book, tmp_path / "work" / NOTEBOOK)
    with jupyter_lab(tmp_path) as address, playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page, complaints = browser.new_page(viewport=dict(width=1366, height=768)), []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
        page.goto(address, timeout=2 * MINUTE)
        code = page.locator(".jp-Notebook .jp-CodeCell")
        playwright.expect(code).to_have_count(sum(cell.cell_type == "code" for cell in book.cells), timeout=2 * MINUTE)
        run_all(page, playwright)

        for kind in ("error", "stderr"):
            assert page.locator(f'[data-mime-type="application/vnd.jupyter.{kind}"]').all_inner_texts() == []
        playwright.expect(code.last.locator(".jp-InputPrompt")).to_have_text(f"[{code.count()}]:")
        playwright.expect(code.last.locator(".jp-OutputArea-output")).to_contain_text("Class-wise sets hold")
        shrunk = page.locator(".jp-OutputArea-output img").evaluate_all("found => found.map(one => one.naturalWidth / one.clientWidth)")
        assert shrunk and max(shrunk) < 1.1, "a picture is much wider than a laptop's page"

        table = page.locator(".jp-OutputArea-output:has(.widget-slider)").locator("tbody tr").first
        before = table.inner_text()
        page.locator(".widget-slider [role=slider]").press("ArrowRight")
        playwright.expect(table).not_to_have_text(before, timeout=MINUTE // 2)
        threshold = [float(row.split()[1]) for row in (before, table.inner_text())]
        assert threshold[1] == pytest.approx(threshold[0] + 0.01, abs=0.006)
        assert page.locator(".jp-Dialog").all_inner_texts() == [] and complaints == []
        browser.close()
