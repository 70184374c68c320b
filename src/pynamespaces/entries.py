"""One entry of the store on disk: made whole or not at all, opened, removed."""

from __future__ import annotations

import errno
import os

from pynamespaces import causes, handles, inits, keeper, kinds, removal, ways
from pynamespaces._kernel import mount
from pynamespaces.errors import NamespaceError
from pynamespaces.handles import Namespace, NotANamespace
from pynamespaces.kinds import Kind
from pynamespaces.store import SOCKET, UNFINISHED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pynamespaces.sets import NamespaceSet
    from pynamespaces.store import Store


class Stale(NamespaceError):
    """What was kept under this name is gone: its keeper or PID 1 has ended, or it was unmounted (ESTALE)."""

    def __init__(self, name: str, cause: str) -> None:
        super().__init__(errno.ESTALE, cause, step=f"open {name!r}", hint=f"forget({name!r}) clears it away")


def create(place: Store, entry: str, held: dict[Kind, int], namespaces: NamespaceSet) -> None:
    path = place.entry(entry)
    step = f"persist {namespaces.kinds} as {path}"
    made = False
    note: str | None = None
    try:
        try:
            os.mkdir(path, 0o755)
            made = True
        except FileExistsError:
            if not _abandoned(path):
                raise
        # With pid, or on older kernels, an entry is attached before it is finished: leave a note of that.
        note = removal.hide(place, entry) if "pid" in namespaces else None
        mounted = not ways.moved and _mountable(path, held, namespaces)
        if not mounted:
            removal.unmount_all(path)
            os.rmdir(path)
            made = False
            _tear_up(place, note)
            note = None
            _create_kept(place, entry, held, namespaces)
    except BaseException as error:
        if made:
            removal.discard(path)
        if isinstance(error, OSError) and not isinstance(error, NamespaceError):
            raise causes.refused(error, step, filename=path) from None
        raise
    finally:
        _tear_up(place, note)


def _tear_up(place: Store, note: str | None) -> None:
    """Remove the note; one that stays speaks of nothing unfinished any more."""
    if note is not None:
        removal.discard(note)
        removal.show(place)


def _mountable(path: str, held: dict[Kind, int], namespaces: NamespaceSet) -> bool:
    """Create it by mounts, where that can be had.

    ELOOP (or EINVAL from mount(2)): the kernel takes this mnt namespace for an older one than ours, and could not
    bind it here without a loop.  It compares their ids, which since 6.18 come in batches for each CPU: a younger
    namespace may have a lower one.
    """
    try:
        return _create_mounted(path, held, namespaces)
    except OSError as error:
        if "mnt" in namespaces and error.errno in (errno.ELOOP, errno.EINVAL):
            return False
        raise


def _create_mounted(path: str, held: dict[Kind, int], namespaces: NamespaceSet) -> bool:
    """Furnish a tmpfs and attach it, whole, by one call; False where this user may not mount."""
    with_init = "pid" in namespaces
    try:
        tree = mount.detached(b"tmpfs", ((b"mode", b"0755"), (b"size", b"64k")))
    except PermissionError:
        return False
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        tree = -1
    try:
        if tree < 0 or not _furnish(tree, held, with_init):
            return _create_in_place(path, held, namespaces)
        try:
            mount.attach(tree, mount.HERE, os.fsencode(path))
        except OSError as error:
            if error.errno != errno.EINVAL or "mnt" not in namespaces:
                raise
            # Under a shared mount the kernel would have to copy a mnt namespace into itself.
            _make_private(path)
            mount.attach(tree, mount.HERE, os.fsencode(path))
        if with_init:
            inits.tell(namespaces[Kind.PID], inits.keep)
            try:
                os.unlink(UNFINISHED, dir_fd=tree)
            except OSError:
                inits.tell(namespaces[Kind.PID], inits.release)
                raise
    finally:
        if tree >= 0:
            os.close(tree)
    return True


def _furnish(tree: int, held: dict[Kind, int], with_init: bool) -> bool:
    """Files and namespaces into a detached tmpfs; False where the kernel (before 6.15) mounts nothing there."""
    if with_init:
        _touch(UNFINISHED, tree)
    for kind, fd in held.items():
        name = str(kind)
        _touch(name, tree)
        try:
            clone = mount.clone_tree(fd)
            try:
                mount.attach(clone, tree, name.encode())
            finally:
                os.close(clone)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOSYS):
                return False
            raise
    return True


def _create_in_place(path: str, held: dict[Kind, int], namespaces: NamespaceSet) -> bool:
    """The same on older kernels: marked as unfinished until it is whole, and swept if we do not come that far."""
    try:
        mount.mount(b"tmpfs", os.fsencode(path), b"tmpfs", 0, b"mode=0755,size=64k")
    except PermissionError:
        return False
    mount.make_private(os.fsencode(path), recursive=False)
    _touch(os.path.join(path, UNFINISHED))
    for kind, fd in held.items():
        target = os.path.join(path, str(kind))
        _touch(target)
        mount.bind(f"/proc/thread-self/fd/{fd}".encode(), os.fsencode(target))
    if "pid" in namespaces:
        inits.tell(namespaces[Kind.PID], inits.keep)
    os.unlink(os.path.join(path, UNFINISHED))
    return True


def _create_kept(place: Store, entry: str, held: dict[Kind, int], namespaces: NamespaceSet) -> None:
    """A keeper, in a directory that gets its name when all is done."""
    hidden = removal.hide(place, entry)
    directory = -1
    try:
        directory = os.open(hidden, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        keeper.start(directory, SOCKET, list(held.values()))
        if "pid" in namespaces:
            inits.tell(namespaces[Kind.PID], inits.keep)
        os.rename(hidden, place.entry(entry))
    except BaseException:
        try:
            removal.remove(hidden)
        except OSError:
            pass  # `sweep` tries again
        raise
    finally:
        if directory >= 0:
            os.close(directory)
        removal.show(place)


def bind(fd: int, directory: int, target: bytes) -> None:
    """One namespace onto one file."""
    try:
        clone = mount.clone_tree(fd)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL):
            raise
        mount.bind(f"/proc/thread-self/fd/{fd}".encode(), target)
        return
    try:
        mount.attach(clone, directory, target)
    finally:
        os.close(clone)


def _touch(path: str, directory: int | None = None) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o444, dir_fd=directory))


def _make_private(path: str) -> None:
    """A private mount of a directory on itself."""
    target = os.fsencode(path)
    mount.bind(target, target)
    mount.make_private(target, recursive=False)


def open_entry(path: str, name: str) -> list[Namespace]:
    """The namespaces of an entry: [] for a directory without any; Stale where they are gone."""
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except NotADirectoryError:
        return [removal.quiet(Namespace.at(path))]
    try:
        if removal.exists(UNFINISHED, directory):
            return []
        if removal.exists(SOCKET, directory):
            fds = keeper.fetch(directory, SOCKET)
            if fds is None:
                raise Stale(name, "its keeper has ended")
            return handles.from_fds(fds, name)
        found: list[Namespace] = []
        try:
            for row in kinds.TABLE:
                for file in (row.name, row.children):
                    if removal.exists(file, directory):
                        found.append(_bound(f"{path}/{file}", row.kind, name))
                        break
        except BaseException:
            for namespace in found:
                namespace.close()
            raise
        return found
    finally:
        os.close(directory)


def _bound(path: str, kind: Kind, name: str) -> Namespace:
    try:
        return removal.quiet(Namespace.at(path, kind))
    except NotANamespace:
        raise Stale(name, f"{path} is a plain file: nothing is mounted there (any more)") from None


def _abandoned(path: str) -> bool:
    """An empty directory that is no mount: a persist that was killed before it began."""
    try:
        return not os.path.islink(path) and not os.path.ismount(path) and not os.listdir(path)
    except OSError:
        return False
