"""The sessions in README and docs print what they say."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
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
