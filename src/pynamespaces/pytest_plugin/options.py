"""Options and ini: the same names, the command line wins; and what is in force in a session."""

from __future__ import annotations

import pytest

from pynamespaces.values import value

#: option -> (what it may be, what it is by default, the help)
OPTIONS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "namespaces": ((), "", "kinds for every test, as if each had the marker: net,mnt,uts,…"),
    "namespaces_mode": (
        ("auto", "inprocess", "fork"),
        "auto",
        "where a test runs: in pytest's own process where it can come back from there (auto, inprocess), or in a child",
    ),
    "namespaces_unavailable": (
        ("skip", "fail", "xfail"),
        "",
        "what becomes of a test whose namespaces cannot be had; default: skip, but fail where CI is set",
    ),
    "namespaces_home": (
        ("no", "keep-net", "isolated"),
        "no",
        "move an ordinary user's whole session into a user namespace, so that tests can run in pytest's own process",
    ),
    "namespaces_timeout": (
        (),
        "300",
        "seconds for each of set-up, call, teardown of a test in a child; 0: no limit",
    ),
}
LEAK = ("warn", "ignore", "error")


@value(frozen=True)
class Settings:
    """What is in force."""

    kinds: tuple[str, ...]
    mode: str
    unavailable: str
    home: str
    timeout: float
    leak: str


def add(parser: pytest.Parser) -> None:
    """Declare them."""
    group = parser.getgroup("namespaces", "tests in Linux namespaces of their own (pynamespaces)")
    for name, (choices, default, text) in OPTIONS.items():
        metavar = "|".join(choices) or ("KINDS" if name == "namespaces" else "SECONDS")
        group.addoption(f"--{name.replace('_', '-')}", metavar=metavar, default=None, help=text)
        parser.addini(name, text, default=default)
    parser.addini("namespaces_leak", "threads that a test leaves in its namespaces: warn|ignore|error", default="warn")


def early(pluginmanager: pytest.PytestPluginManager, name: str) -> str:
    """An option before the command line is parsed: the plugin is just being registered."""
    import os
    import shlex

    config: pytest.Config | None = pluginmanager.get_plugin("pytestconfig")
    if config is None:
        return ""
    try:
        args = [*map(str, config.getini("addopts")), *shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))]
    except ValueError:  # pytest says so itself
        args = []
    args += [str(arg) for arg in config.invocation_params.args]
    option = f"--{name.replace('_', '-')}"
    for position in range(len(args) - 1, -1, -1):
        word, equals, given = args[position].partition("=")
        if word == option:
            return given if equals else "".join(args[position + 1 : position + 2])
    return str(config.getini(name)).strip()


def read(config: pytest.Config) -> Settings:
    """Check them.

    Raises:
        pytest.UsageError: what is given, and what is allowed.
    """
    import os

    from pynamespaces import kinds

    given: dict[str, str] = {}
    for name, (choices, default, _) in OPTIONS.items():
        text = config.getoption(name)
        text = str(config.getini(name) if text is None else text).strip() or default
        given[name] = text
        if choices and text and text not in choices:
            raise pytest.UsageError(f"--{name.replace('_', '-')} is one of {', '.join(choices)}, got {text!r}")
    leak = str(config.getini("namespaces_leak"))
    if leak not in LEAK:
        raise pytest.UsageError(f"namespaces_leak is one of {', '.join(LEAK)}, got {leak!r}")
    try:
        timeout = float(given["namespaces_timeout"])
        if not timeout >= 0:
            raise ValueError
    except ValueError:
        text = given["namespaces_timeout"]
        raise pytest.UsageError(f"--namespaces-timeout is a number of seconds, 0 for none, got {text!r}") from None
    try:
        wanted = tuple(row.name for row in kinds.parse(*given["namespaces"].replace(",", " ").split()))
    except ValueError as error:
        raise pytest.UsageError(f"--namespaces: {error}") from None
    unavailable = given["namespaces_unavailable"] or ("fail" if os.environ.get("CI") else "skip")
    return Settings(wanted, given["namespaces_mode"], unavailable, given["namespaces_home"], timeout, leak)
