"""The fixtures: asking for one is asking for the namespace, and its value has the acts that a test wants."""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pynamespaces.pytest_plugin.values import CgroupNS, IpcNS, MntNS, NetNS, PidNS, TimeNS, UserNS, UtsNS
    from pynamespaces.sets import NamespaceSet


@pytest.fixture
def netns() -> Iterator[NetNS]:
    """A network of the test's own, without a cable: run(argv), Popen, call, `with netns:`.
    The same as @pytest.mark.namespaces("net").
    """
    from pynamespaces.pytest_plugin import values

    with values.current(values.NetNS) as namespace:
        yield namespace


@pytest.fixture
def mntns() -> Iterator[MntNS]:
    """Mounts of the test's own: tmpfs, bind, file, readonly, hide.
    The same as @pytest.mark.namespaces("mnt").
    """
    from pynamespaces.pytest_plugin import values

    with values.current(values.MntNS) as namespace:
        yield namespace


@pytest.fixture
def utsns() -> Iterator[UtsNS]:
    """A hostname of the test's own: `utsns.hostname = "web-1"`, domainname.
    The same as @pytest.mark.namespaces("uts").
    """
    from pynamespaces.pytest_plugin import values

    with values.current(values.UtsNS) as namespace:
        yield namespace


@pytest.fixture
def ipcns() -> Iterator[IpcNS]:
    """System V IPC and POSIX message queues of the test's own, gone with it.
    The same as @pytest.mark.namespaces("ipc").
    """
    from pynamespaces.pytest_plugin import values

    with values.current(values.IpcNS) as namespace:
        yield namespace


@pytest.fixture
def cgroupns() -> Iterator[CgroupNS]:
    """A view of the cgroups whose root is the test's own.
    The same as @pytest.mark.namespaces("cgroup").
    """
    from pynamespaces.pytest_plugin import values

    with values.current(values.CgroupNS) as namespace:
        yield namespace


@pytest.fixture
def pidns() -> Iterator[PidNS]:
    """Process ids of the test's own: it sees its own processes alone, and all of them end with it.
    The same as @pytest.mark.namespaces("pid"); the test runs in a child.
    """
    from pynamespaces.pytest_plugin import values

    with values.current(values.PidNS) as namespace:
        yield namespace


@pytest.fixture
def userns() -> Iterator[UserNS]:
    """A user namespace in which the test is root: uid_map, gid_map.
    The same as @pytest.mark.namespaces("user"); the test runs in a child.
    """
    from pynamespaces.pytest_plugin import values

    with values.current(values.UserNS) as namespace:
        yield namespace


@pytest.fixture
def timens() -> Iterator[TimeNS]:
    """Monotonic and boot-time clocks of the test's own; the marker's clock= moves them.
    The same as @pytest.mark.namespaces("time"); the test runs in a child.
    """
    from pynamespaces.pytest_plugin import values

    with values.current(values.TimeNS) as namespace:
        yield namespace


@pytest.fixture
def isolation(request: pytest.FixtureRequest) -> Iterator[NamespaceSet]:
    """The namespaces that the marker asked for, as a NamespaceSet: from inside."""
    from pynamespaces.pytest_plugin import _wish_of
    from pynamespaces.sets import NamespaceSet

    wish = _wish_of(request.node)
    if wish is None:
        pytest.fail("`isolation` is of a test that asks for namespaces by a marker or a fixture", pytrace=False)
    with NamespaceSet.current(wish.box.kinds) as inside:
        yield inside


@pytest.fixture
def make_netns() -> Iterator[Callable[..., NetNS]]:
    """make_netns(network="loopback"): one more host, with a network of its own: run, Popen, call, `with host:`.
    The test itself is in one of its own, as with `netns`.
    """
    from pynamespaces.pytest_plugin import values

    made: list[NetNS] = []

    def make(network: str = "loopback") -> NetNS:
        made.append(values.new_net(network))
        return made[-1]

    yield make
    for namespace in reversed(made):
        namespace.close()
