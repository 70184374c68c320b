"""Network: a net namespace held open, and the way into it for a socket, a file or a link."""

from __future__ import annotations

from pynamespaces import capabilities, errands, kinds, plan
from pynamespaces._kernel import sched
from pynamespaces.handles import Namespace
from pynamespaces.sets import NamespaceSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, TypeAlias

    from pynamespaces.net.hosts import Host
    from pynamespaces.plan import Step
    from pynamespaces.targets import Target

    #: Whose network: None is this thread's own.
    Where: TypeAlias = "Host | Network | Target | None"

NET = kinds.row("net")


class Network:
    """A net namespace, and the way there.

    Args:
        where: a Host, a NamespaceSet, a net Namespace, a process, a path, a saved name; or None, this thread's own.

    Raises:
        KeyError: a set without a net namespace.
        ValueError: a namespace of another kind.
        FileNotFoundError: no such name or path; ProcessLookupError: the process has ended.
    """

    __slots__ = ("_owner", "namespace")

    namespace: Namespace
    _owner: Namespace | None

    def __init__(self, where: Where) -> None:
        self.namespace = _held(where)
        self.namespace._hold().loud = False
        self._owner = None
        if not sched.has_capability(capabilities.SYS_ADMIN):
            try:
                self._owner = self.namespace.owner()
                self._owner._hold().loud = False
            except PermissionError:
                pass  # it is not ours: the errand's refusal will say so

    def steps(self) -> list[Step]:
        """The way there, for a child: none where this thread is there already."""
        with Namespace.current("net") as here:
            if here == self.namespace:
                return []
        way = [] if self._owner is None else [plan.join(self._owner.fileno(), self._owner.row)]
        return [*way, plan.join(self.namespace.fileno(), NET, self.namespace.id.text(NET.kind))]

    def beside(self) -> list[Step]:
        """The way to where another net namespace of the same owner can be made."""
        return self.steps()[:-1]

    def open_socket(self, family: int, type_: int, proto: int = 0) -> int:
        """A descriptor of a socket that lives there."""
        return errands.open_socket(self.steps(), family, type_, proto)

    def write(self, path: str, text: str) -> None:
        """Write to a sysctl of this network, below /proc/sys/net."""
        errands.go([*self.steps(), plan.write(f"/proc/sys/net/{path}", text)])

    def fileno(self) -> int:
        return self.namespace.fileno()

    def close(self) -> None:
        """Give up the shares that it holds; harmless twice."""
        self.namespace.close()
        if self._owner is not None:
            self._owner.close()

    def __enter__(self) -> Self:
        self.namespace.fileno()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        return self.namespace == other.namespace if isinstance(other, Network) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.namespace)

    def __repr__(self) -> str:
        return f"<Network {self.namespace.id.text(NET.kind)}{', closed' if self.namespace.closed else ''}>"


def make(todo: list[Step], *, ipv6: bool = True) -> Network:
    """A new network with nothing but lo in it, made at the end of a way.

    Args:
        todo: the way to the user namespace that is to own it; see `Network.beside`.
        ipv6: False: its interfaces have no IPv6 of their own, as befits what only passes frames on.
    """
    steps = [*todo, plan.unshare([NET]), plan.loopback()]
    if not ipv6:
        steps.append(plan.sysctl("net.ipv6.conf.default.disable_ipv6", "1", if_allowed=True))
    (namespace,) = errands.make(steps)
    with namespace:
        return Network(namespace)


def _held(where: Where) -> Namespace:
    """The net namespace of a target, as a share of the caller's own."""
    from pynamespaces import targets

    if where is None:
        return Namespace.current("net")
    if isinstance(where, Network):
        return where.namespace._share()
    if isinstance(where, Namespace):
        if where.kind is not NET.kind:
            raise ValueError(f"expected a net namespace, got {where!r}")
        return where._share()
    inside = getattr(where, "namespaces", None)
    if isinstance(inside, NamespaceSet):
        where = inside
    if isinstance(where, NamespaceSet):
        return where["net"]._share()
    with targets.resolve(where, ("net",)) as found:  # type: ignore[arg-type]
        return found["net"]._share()
