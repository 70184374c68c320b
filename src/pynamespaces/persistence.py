"""Kept and rejoined: persist, persisted, rejoin, saved and forget, the acts over the store.

All act in the mount namespace that the thread had before its outermost block, and resolve names and paths there.
"""

from __future__ import annotations

import errno
import os

from pynamespaces import causes, entries, inits, pids, removal, ways
from pynamespaces import store as stores
from pynamespaces._kernel import mount, sched
from pynamespaces.entries import Stale
from pynamespaces.errors import NamespaceError, refusal
from pynamespaces.handles import Namespace, NotANamespace
from pynamespaces.kinds import Kind
from pynamespaces.sets import NamespaceSet
from pynamespaces.store import Store
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from pynamespaces.store import PathLike


@value(frozen=True)
class Saved:
    """One row of `saved`."""

    name: str
    kinds: Kind
    path: str
    alive: bool  #: can it still be entered?


class AtHome:
    """A ``with`` block in the mount namespace that this thread had before its outermost block.

    Its children go to the pid namespace of that time, too: a keeper must not end with a block.
    """

    __slots__ = ("_frame",)

    def __enter__(self) -> None:
        self._frame = frame = ways.Frame()
        try:
            for flag in (ways.PID, ways.MNT):
                found = ways.outermost(flag)
                if found is not None:
                    self._go(flag, *found)
        except BaseException:
            ways.undo(frame)
            raise

    def _go(self, flag: int, outermost: ways.Frame, home: int) -> None:
        if flag == ways.MNT:
            self._frame.remember_root()
        here = sched.current(flag, for_children=True)
        answer = sched.go(home, flag)
        if answer < 0:
            os.close(here)
            raise ways.refused(-answer, "setns to where this thread began")
        self._frame.homes.append((flag, here))
        if flag == ways.MNT:
            mount.fchdir(outermost.root)
            mount.chroot(b".")
            mount.fchdir(outermost.cwd)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        ways.undo(self._frame)


def persist(namespaces: NamespaceSet, name: PathLike, *, store: PathLike | None = None) -> None:
    """See `NamespaceSet.persist`."""
    if not namespaces:
        raise ValueError("nothing to persist: this NamespaceSet is empty")
    held = {kind: ns.fileno() for kind, ns in namespaces.items()}
    with causes.naming(f"persist {namespaces.kinds} as {name}"), AtHome():
        directory, entry = _locate(name, store)
        with Store(directory, make=True) as place:
            removal.sweep(place, entry)
            entries.create(place, entry, held, namespaces)


def persist_one(namespace: Namespace, path: PathLike) -> None:
    """See `Namespace.persist`."""
    if stores.is_name(path):
        with NamespaceSet([namespace]) as alone:
            persist(alone, path)
        return
    fd = namespace.fileno()
    target = stores.check_path(path)
    step = f"persist {namespace.id.text(namespace.kind)} at {target}"
    with AtHome():
        _make_netns_directory(os.path.dirname(target))
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o444))
        except OSError as error:
            raise refusal(error.errno or 0, step=step, filename=target) from None
        try:
            entries.bind(fd, mount.HERE, os.fsencode(target))
            inits.tell(namespace, inits.keep)
        except BaseException as error:
            removal.unmount_all(target)
            os.unlink(target)
            if isinstance(error, OSError) and not isinstance(error, NamespaceError):
                raise causes.refused(error, step) from None
            raise


def persist_over(namespace: Namespace, path: PathLike) -> None:
    """The same onto a file that may exist, as ``unshare --net=FILE`` does."""
    target = stores.check_path(path)
    with AtHome():
        made = not os.path.lexists(target)
        if made:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o444))
        bound = False
        try:
            entries.bind(namespace.fileno(), mount.HERE, os.fsencode(target))
            bound = True
            inits.tell(namespace, inits.keep)
        except OSError as error:
            if bound:
                mount.detach(os.fsencode(target))
            if made:
                os.unlink(target)
            raise causes.refused(error, f"persist {namespace.id.text(namespace.kind)} at {target}") from None


def open_saved(name: PathLike, *, store: PathLike | None = None) -> list[Namespace]:
    """The namespaces kept under a name, or that a path stands for; the caller owns them."""
    with AtHome():
        directory, entry = _locate(name, store)
        path = os.path.join(directory, entry)
        with causes.naming(f"open {name!r}", filename=path):
            found = entries.open_entry(path, str(name))
    if not found:
        step = f"open {name!r}"
        if stores.is_name(name):
            raise refusal(errno.ENOENT, step=step, text="nothing is kept under this name", filename=path)
        raise NotANamespace(errno.EINVAL, "no namespaces in this directory", step=step)
    return found


def forget(name: PathLike, /, *, store: PathLike | None = None) -> None:
    """Keep no longer what was kept; harmless where there is nothing (any more).

    Args:
        name: a saved name, or the path of a directory or file.
        store: instead of the default store.

    Raises:
        ValueError: a bad name, or a path that holds something which nobody persisted.
        PermissionError: the mount or file belongs to another user.
    """
    with causes.naming(f"forget {name!r}"), AtHome():
        directory, entry = _locate(name, store)
        if not os.path.isdir(directory):
            return
        with Store(directory, make=False) as place:
            removal.sweep(place, entry)
            removal.remove(place.entry(entry))
            removal.show(place)


def saved(*, store: PathLike | None = None) -> list[Saved]:
    """What is kept in the store, by name; also what is not alive any more, until it is forgotten.

    What this user may not look at is left out.
    """
    with AtHome():
        directory = stores.default() if store is None else stores.check_path(store)
        with causes.naming(f"read the store {directory}", filename=directory):
            try:
                names = sorted(os.listdir(directory))
            except FileNotFoundError:
                return []
            rows = [_row(directory, name) for name in names if not name.startswith(".")]
    return [row for row in rows if row is not None]


class Persisted:
    """A ``with`` block for whose length namespaces are kept under a name."""

    __slots__ = ("_name", "_namespaces", "_store")

    def __init__(self, namespaces: NamespaceSet, name: PathLike, *, store: PathLike | None = None) -> None:
        self._namespaces = namespaces
        self._name = name
        self._store = store

    def __enter__(self) -> NamespaceSet:
        persist(self._namespaces, self._name, store=self._store)
        return self._namespaces

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        forget(self._name, store=self._store)


def _locate(name: PathLike, where: PathLike | None) -> tuple[str, str]:
    """(directory, entry) of a saved name or of a path."""
    if stores.is_name(name):
        entry = stores.check_name(os.fspath(name))
        return (stores.default() if where is None else stores.check_path(where)), entry
    path = stores.check_path(name)
    directory, entry = os.path.split(path)
    if not entry:
        raise ValueError(f"not a path to keep namespaces at: {path!r}")
    return directory, entry


def _make_netns_directory(directory: str) -> None:
    """/run/netns as ``ip netns add`` makes it: mounted on itself and shared, so that every mount namespace follows."""
    if os.path.realpath(directory) != "/run/netns" or os.path.isdir("/run/netns"):
        return
    try:
        os.makedirs("/run/netns", 0o755)
    except FileExistsError:  # somebody was faster
        return
    mount.bind(b"/run/netns", b"/run/netns")
    mount.make_shared(b"/run/netns")


def _row(directory: str, name: str) -> Saved | None:
    path = os.path.join(directory, name)
    try:
        found = entries.open_entry(path, name)
    except (Stale, NotANamespace):
        return Saved(name, Kind(0), path, alive=False)
    except (FileNotFoundError, PermissionError):  # gone meanwhile, or another user's
        return None
    if not found:
        return None
    with NamespaceSet._adopt(found) as namespaces:
        return Saved(name, namespaces.kinds, path, alive=_alive(namespaces))


def _alive(namespaces: NamespaceSet) -> bool:
    """Can processes still go there?  Not into a pid namespace whose init has ended."""
    return "pid" not in namespaces or pids.ask(namespaces["pid"], pids.FROM, 1) is not None
