"""The recipes in examples/pytest are what they say: run as this user, each file in a pytest of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import need

RECIPES = sorted((Path(__file__).parents[2] / "examples" / "pytest").glob("test_*.py"))
#: What a recipe's programs are called.
PROGRAMS = {"test_processes": ("ps", "ipcmk")}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for program in PROGRAMS.get(recipe.stem, ()):
        need(program)
    monkeypatch.setenv("CI", "true")  # nothing may be skipped
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\nfilterwarnings = error\n")
    argv = [sys.executable, "-m", "pytest", "-rs", "-pno:cacheprovider", f"--basetemp={tmp_path / 'temp'}"]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*argv, "-c", tmp_path / "pytest.ini", "--rootdir", tmp_path, recipe],
        check=False, capture_output=True, text=True, env=env, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"=+ \d+ passed in ", done.stdout), done.stdout


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 5
