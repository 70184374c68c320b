"""One entry of the store on disk: made whole or not at all, opened, removed."""

from __future__ import annotations

import errno
import os
import stat

from pynamespaces import causes, handles, inits, keeper, kinds, procfs, ways
from pynamespaces._kernel import mount, nsfs, pidfd
from pynamespaces.errors import NamespaceError
from pynamespaces.handles import Namespace, NotANamespace
from pynamespaces.kinds import Kind
from pynamespaces.store import SOCKET, UNFINISHED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

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
    try:
        try:
            os.mkdir(path, 0o755)
            made = True
        except FileExistsError:
            if not _abandoned(path):
                raise
        if ways.moved or not _mountable(path, held, namespaces):
            unmount_all(path)
            os.rmdir(path)
            made = False
            _create_kept(place, entry, held, namespaces)
    except BaseException as error:
        if made:
            unmount_all(path)
            os.rmdir(path)
        if isinstance(error, OSError) and not isinstance(error, NamespaceError):
            raise causes.refused(error, step, filename=path) from None
        raise


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
            keep_init(namespaces[Kind.PID])
            os.unlink(UNFINISHED, dir_fd=tree)
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
        keep_init(namespaces[Kind.PID])
    os.unlink(os.path.join(path, UNFINISHED))
    return True


def _create_kept(place: Store, entry: str, held: dict[Kind, int], namespaces: NamespaceSet) -> None:
    """A keeper, in a directory that gets its name when all is done."""
    hidden = f".{entry}"
    os.mkdir(hidden, 0o700, dir_fd=place.fd)
    directory = -1
    try:
        directory = os.open(hidden, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place.fd)
        keeper.start(directory, SOCKET, list(held.values()))
        if "pid" in namespaces:
            keep_init(namespaces[Kind.PID])
        os.rename(hidden, entry, src_dir_fd=place.fd, dst_dir_fd=place.fd)
    except BaseException:
        remove(place.entry(hidden))
        raise
    finally:
        if directory >= 0:
            os.close(directory)


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


def _init_of(namespace: Namespace) -> int | None:
    """A pidfd of PID 1 of a pid namespace, if that is our tiny init."""
    pid = nsfs.translate_pid(namespace.fileno(), 0, 1)
    if not pid or pid < 0:
        return None
    try:
        held = pidfd.pidfd_open(pid)
    except OSError:
        return None
    try:
        ours = procfs.read_text(f"/proc/{pid}/cmdline") == "pynamespaces-init\0"
        if ours and handles.of_pidfd(held, kinds.row(Kind.PID), loud=False) == namespace and pidfd.alive(held):
            found, held = held, -1
            return found
    except OSError:
        pass
    finally:
        if held >= 0:
            os.close(held)
    return None


def keep_init(namespace: Namespace) -> None:
    """Tell our init, if it is PID 1 there, to outlive the process that it works for."""
    _tell_init(namespace, inits.keep)


def _tell_init(namespace: Namespace, tell: Callable[[int], None]) -> None:
    held = _init_of(namespace) if namespace.kind is Kind.PID else None
    if held is not None:
        try:
            tell(held)
        finally:
            os.close(held)


def open_entry(path: str, name: str) -> list[Namespace]:
    """The namespaces of an entry: [] for a directory without any; Stale where they are gone."""
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except NotADirectoryError:
        return [_quiet(Namespace.at(path))]
    try:
        if _exists(UNFINISHED, directory):
            return []
        if _exists(SOCKET, directory):
            fds = keeper.fetch(directory, SOCKET)
            if fds is None:
                raise Stale(name, "its keeper has ended")
            return [handles.from_fd(fd, name, loud=False) for fd in fds]
        found: list[Namespace] = []
        for row in kinds.TABLE:
            for file in (row.name, row.children):
                if _exists(file, directory):
                    try:
                        found.append(_quiet(Namespace.at(f"{path}/{file}", row.kind)))
                    except NotANamespace:
                        for namespace in found:
                            namespace.close()
                        raise Stale(
                            name, f"{path}/{file} is a plain file: nothing is mounted there (any more)"
                        ) from None
                    break
        return found
    finally:
        os.close(directory)


def _exists(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _quiet(namespace: Namespace) -> Namespace:
    namespace._hold().loud = False
    return namespace


def _abandoned(path: str) -> bool:
    """An empty directory that is no mount: a persist that was killed before it began."""
    try:
        return not os.path.islink(path) and not os.path.ismount(path) and not os.listdir(path)
    except OSError:
        return False


def sweep(place: Store) -> None:
    """Under the lock: remove what a killed process left unfinished."""
    for name in os.listdir(place.fd):
        path = place.entry(name)
        unfinished = os.path.join(path, UNFINISHED)
        if (name.startswith(".") and os.path.exists(os.path.join(path, SOCKET))) or os.path.exists(unfinished):
            try:
                remove(path)
            except OSError:
                pass


def remove(path: str) -> None:
    """End what keeps an entry and remove it; nothing that is not an entry is ever removed."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        _remove_directory(path)
        return
    mounted = unmount_all(path)
    if not mounted and not (stat.S_ISREG(status.st_mode) and status.st_size == 0):
        raise NotANamespace(errno.EINVAL, "nothing that was persisted", step=f"forget {path}")
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _remove_directory(path: str) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        known = {row.name for row in kinds.TABLE} | {row.children for row in kinds.TABLE}
        if set(os.listdir(directory)) - known - {UNFINISHED, SOCKET}:
            raise NotANamespace(errno.EINVAL, "a directory with other things than namespaces", step=f"forget {path}")
        kept: list[Namespace] = []
        if _exists(SOCKET, directory):
            kept = [handles.from_fd(fd, path, loud=False) for fd in keeper.fetch(directory, SOCKET) or ()]
        elif _exists("pid", directory):
            try:
                kept = [_quiet(Namespace.at(f"{path}/pid"))]
            except NotANamespace:
                pass
        for namespace in kept:
            _tell_init(namespace, inits.release)
            namespace.close()
        if _exists(SOCKET, directory):
            keeper.end(directory, SOCKET)
            os.unlink(SOCKET, dir_fd=directory)
    finally:
        os.close(directory)
    unmount_all(path)
    for name in os.listdir(path):
        file = os.path.join(path, name)
        unmount_all(file)
        if os.lstat(file).st_size:
            raise NotANamespace(errno.EINVAL, f"{name} is not empty", step=f"forget {path}")
        os.unlink(file)
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass


def unmount_all(path: str) -> bool:
    """Detach every mount on a path: True if there was one."""
    for count in range(100):
        try:
            mount.detach(os.fsencode(path))
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return count > 0
            if error.errno == errno.EPERM and not _mounted(path):
                return False
            raise
    return True


def _mounted(path: str) -> bool:
    """Is there another file system at this path than in its directory?"""
    return os.lstat(path).st_dev != os.stat(os.path.dirname(path)).st_dev
