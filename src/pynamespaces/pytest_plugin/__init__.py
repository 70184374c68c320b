"""The pytest plugin: any test in namespaces of its own.

    @pytest.mark.namespaces("net", "mnt", tmpfs={"/var/lib/app": "1M"})
    def test_a_full_disk(): ...

The body of a test and its function-scoped fixtures run inside; class, module, package and session fixtures run
outside, once.  Nothing is imported or done for a session in which no test asks.

    options       command line and ini
    marks         a marker's words into an Isolation
    fixtures      netns, mntns, … and what can be done with them
    available     where a test can have what it asks for, and why not
    running       the hooks around one test: which of the two ways it takes
    inprocess     there and back in pytest's own process
    forked        a child for the test; pytest's protocol stays in the parent
    child         that child's side
    messages      what the two tell each other
    measuring     coverage of what children run
    crashes       what is said of a child that died
    home          --namespaces-home: the whole session moves, once
    private       what little of pytest's private surface is needed
"""

from __future__ import annotations

import pytest

from pynamespaces.pytest_plugin import options
from pynamespaces.pytest_plugin.fixtures import (
    cgroupns,
    ipcns,
    isolation,
    make_netns,
    mntns,
    netns,
    pidns,
    timens,
    userns,
    utsns,
)

from pynamespaces.pytest_labs import lab, two_hosts  # isort: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from pynamespaces.pytest_plugin.marks import Wish

__all__ = [
    "NamespaceLeakWarning",
    "cgroupns",
    "ipcns",
    "isolation",
    "lab",
    "make_netns",
    "mntns",
    "netns",
    "pidns",
    "timens",
    "two_hosts",
    "userns",
    "utsns",
]

SETTINGS = pytest.StashKey[options.Settings]()
MARKER = """\
namespaces(*kinds, mode='auto', hostname=, domainname=, network='loopback', tmpfs={path: size}, bind={target: source}, \
files={target: content}, readonly=[paths], hide=[paths], root=, clock=seconds, ids='root', sysctl={name: value}, \
init=True, timeout=seconds, unavailable='skip'): \
run the test and its function-scoped fixtures in new Linux namespaces of these kinds (net, mnt, uts, ipc, pid, user, \
cgroup, time); a keyword adds the kind that it needs. On a test, a class or a module: merged, the inner one wins. \
mode: auto, inprocess or fork. network: loopback (a host without a cable), none, bare. \
unavailable: skip, fail or xfail where the machine refuses."""


class NamespaceLeakWarning(pytest.PytestWarning):
    """A test left threads of its own in its namespaces."""


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    options.add(parser)
    # As early as can be: only a process with a single thread can go (unshare(2)).
    home = options.early(pluginmanager, "namespaces_home")
    if home not in ("", "no"):
        from pynamespaces.pytest_plugin import home as homes

        homes.move(home)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    config.stash[SETTINGS] = options.read(config)


def pytest_report_header(config: pytest.Config) -> str:
    from pynamespaces.pytest_plugin import available

    return available.header(config.stash[SETTINGS])


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A wrong marker is an error of the collection."""
    report = yield
    wrong = []
    for item in report.result or ():
        if isinstance(item, pytest.Item):
            try:
                _wish_of(item)
            except (TypeError, ValueError) as error:
                wrong.append(f"{item.nodeid}: {error}")
    if wrong:
        report.outcome, report.longrepr, report.result = "failed", "\n".join(wrong), []
    return report


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """The hooks around tests are there only where a test asks."""
    try:
        asked = [item for item in session.items if _wish_of(item) is not None]
    except (TypeError, ValueError) as error:  # of a marker that was added after the collection
        raise pytest.UsageError(str(error)) from None
    if asked and not session.config.option.collectonly:
        from pynamespaces.pytest_plugin import running

        running.begin(session.config, asked)


_FIXTURES = frozenset(__all__) - {"NamespaceLeakWarning", "lab", "two_hosts"}


def _wish_of(item: pytest.Item) -> Wish | None:
    """See `marks.wish_of`, which is imported where something asks."""
    everywhere = item.config.stash[SETTINGS].kinds
    if (
        not everywhere
        and _FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))
        and item.get_closest_marker("namespaces") is None
    ):
        return None
    from pynamespaces.pytest_plugin import marks

    return marks.wish_of(item, everywhere)
