"""Sphinx configuration: `make docs`."""

from __future__ import annotations

from importlib import metadata

from sphinx.application import Sphinx

from pynamespaces.kinds import TABLE

project = "pynamespaces"
author = "The pynamespaces developers"
release = version = metadata.version("pynamespaces")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "pynamespaces"
exclude_patterns = ["_build"]
default_role = "any"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
nitpick_ignore_regex = [
    # Python's own: its documentation is not here.
    (r"any|py:.*", r"(subprocess|os|sys|socket|concurrent|asyncio|collections|resource|pathlib)\..*"),
    # Code in a docstring, which Markdown's readers set in single backticks.
    (r"any", r".*[(=\[ ].*"),
]
myst_heading_anchors = 3
linkcheck_anchors = False


def kinds_table() -> str:
    """The table of kinds, out of the table that the library itself goes by."""
    lines = [
        "| kind | options | isolates | Linux | in a block of a thread goes | takes |",
        "|---|---|---|---|---|---|",
    ]
    for row in TABLE:
        capability = row.capability.replace(", ", ", and ")
        lines.append(
            f"| `{row.name}` | `-{row.option}`, `--{row.long}` | {row.isolates} | {row.since} | {row.way.value}"
            f"{', with no other threads alive' if row.alone and row.name == 'time' else ''} | {capability} |"
        )
    return "\n".join(lines)


def read_source(app: Sphinx, name: str, source: list[str]) -> None:
    """Put in what is made."""
    source[0] = source[0].replace("<!-- kinds.TABLE -->", kinds_table())


def setup(app: Sphinx) -> None:
    """Sphinx calls this."""
    app.connect("source-read", read_source)
