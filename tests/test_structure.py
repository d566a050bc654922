"""The house keeps its order: imports run one way, and the three lists of packages agree."""

import ast
import re
import subprocess
import sys
import tomllib

import pytest

import helpers
from helpers import paths, readme

ORDER = " ".join(re.findall(r"^    \w+: +(.+)$", helpers.__doc__, re.M)).split()
NOTEBOOK_ONLY = {"papermill", "nbformat", "jupyterlab", "ipywidgets", "snakemake"}


def imported(name):
    tree = ast.parse((paths.ROOT / "helpers" / f"{name}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "helpers":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("helpers."):
            yield node.module.removeprefix("helpers.")


def test_every_room_is_in_the_plan():
    assert sorted(p.stem for p in (paths.ROOT / "helpers").glob("*.py") if p.stem != "__init__") == sorted(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_imports_run_from_left_to_right(name):
    later = [other for other in imported(name) if ORDER.index(other) >= ORDER.index(name)]
    assert not later, f"{name} imports {later}, which come after it"


def test_training_needs_no_notebook_packages():
    code = f"import sys; import helpers.train; found = {NOTEBOOK_ONLY!r} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=paths.ROOT)


def names(requirements):
    return {re.match(r"[A-Za-z0-9_.-]+", line).group().lower().replace("_", "-") for line in requirements if line and line[0] not in "#-"}


def test_lists_of_packages_agree():
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
    wanted = names(project["dependencies"]) | names(sum(project["optional-dependencies"].values(), []))
    constraints = (paths.ROOT / "constraints.txt").read_text()
    pinned = names(constraints.splitlines())
    assert wanted <= pinned, f"constraints.txt lacks {wanted - pinned}"
    assert "://" not in constraints
    environment = (paths.ROOT / "environment.yml").read_text()
    extras = re.search(r"-e \.\[(.*)\]", environment).group(1).split(",")
    assert set(extras) == set(project["optional-dependencies"]) and "-c constraints.txt" in environment


def test_nothing_private_is_committed():
    files = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=paths.ROOT).stdout.split()
    bad = [f for f in files if re.search(r"ISIC_\d{7}|\.(pth|pt|ckpt|npy|npz|zip|safetensors|jpe?g)$", f)]
    assert not bad, bad


def test_readme_shows_the_committed_numbers():
    text = (paths.ROOT / "README.md").read_text()
    assert "95 % lesion-clustered" in text and "quick_seconds" in text
    assert text == readme.filled(text), "README.md shows other numbers than the committed results: run python -m helpers.readme"
