"""Sphinx configuration: `make docs`."""

from importlib import metadata

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
nitpick_ignore_regex = [("py:.*", ".*")]
suppress_warnings = ["ref.any"]
myst_heading_anchors = 3
