"""README and docs: the sessions print what they say, every other example runs, and the reference is complete."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pynamespaces
from conftest import in_child
from pynamespaces import mounts

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLAIN = re.compile(r"^```python\n((?:(?!```|>>> ).*\n)+?)```$", re.MULTILINE)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_sessions(page: Path) -> None:
    text = page.read_text("utf-8")
    parser = doctest.DocTestParser()
    test = parser.get_doctest(text.replace("\n```", "\n\n```"), {}, page.name, str(page), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.FAIL_FAST)
    said: list[str] = []
    runner.run(test, out=said.append)
    namespaces = [item for item in test.globs.values() if hasattr(item, "close") and hasattr(item, "kinds")]
    for item in namespaces:
        item.close()
    assert runner.failures == 0, "".join(said)
    assert runner.tries == len(test.examples)


@pytest.mark.parametrize("page", [page for page in PAGES if PLAIN.search(page.read_text("utf-8"))], ids=name_of)
def test_plain_examples(page: Path, store: Path, tmp_path: Path) -> None:
    """What is no session is run, a page's examples one after another; those that are tests, by pytest."""
    examples = PLAIN.findall(page.read_text("utf-8"))
    tests = [
        example for example in examples if re.search(r"^\s*(async )?def test_|^import pytest", example, re.MULTILINE)
    ]
    others = [example for example in examples if example not in tests]
    if tests:
        for number, example in enumerate(tests):
            (tmp_path / f"test_example_{number}.py").write_text(example, "utf-8")
        argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(tmp_path)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    if others:
        in_child(lambda: exec(compile("\n".join(others), name_of(page), "exec"), {"__name__": "example"}))()


def test_the_reference_has_every_name() -> None:
    text = "\n".join(page.read_text("utf-8") for page in (ROOT / "docs" / "reference").glob("*.md"))
    documented = set(re.findall(r"^\.\. auto\w+:: pynamespaces\.([\w.]+)$", text, re.MULTILINE))
    wanted = {
        *pynamespaces.__all__,
        *[f"mounts.{name}" for name in mounts.__all__ if name not in ("MASKED", "furnish")],
    }
    assert wanted - documented == {"mounts"}


def test_pictures_are_what_their_text_says(tmp_path: Path) -> None:
    pictures = ROOT / "docs" / "pictures"
    subprocess.run([sys.executable, pictures / "draw.py", tmp_path], check=True)
    drawn = {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()}
    assert drawn == {path.name: path.read_text("utf-8") for path in pictures.glob("*.svg")}
