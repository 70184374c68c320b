"""Removing an entry of the store: at once to everybody else, and nothing that is not an entry."""

from __future__ import annotations

import errno
import os
import stat

from pynamespaces import handles, inits, keeper, kinds
from pynamespaces._kernel import mount
from pynamespaces.handles import Namespace, NotANamespace
from pynamespaces.store import HIDDEN, SOCKET, UNFINISHED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pynamespaces.store import Store


def exists(name: str, directory: int) -> bool:
    """Is there such a file in a directory (a descriptor)?"""
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def quiet(namespace: Namespace) -> Namespace:
    """One that may be dropped open."""
    namespace._hold().loud = False
    return namespace


def sweep(place: Store, entry: str) -> None:
    """Under the lock: remove what a killed process left unfinished, hidden or of this name."""
    if os.path.exists(os.path.join(place.entry(entry), UNFINISHED)):
        remove(place.entry(entry))
    hidden = place.entry(HIDDEN)
    try:
        names = os.listdir(hidden)
    except FileNotFoundError:
        return
    for name in names:
        twin = place.entry(name)
        if os.path.exists(os.path.join(twin, UNFINISHED)):
            remove(twin)
        remove(os.path.join(hidden, name))
    show(place)


def hide(place: Store, entry: str) -> str:
    """A directory for an entry that has no name yet, or for the note that one is not finished."""
    os.makedirs(place.entry(HIDDEN), 0o700, exist_ok=True)
    path = os.path.join(place.entry(HIDDEN), entry)
    try:
        os.mkdir(path, 0o700)
    except OSError:
        show(place)
        raise
    return path


def show(place: Store) -> None:
    """Remove the hiding place, if nothing is hidden any more."""
    try:
        os.rmdir(place.entry(HIDDEN))
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


_KNOWN = frozenset([name for row in kinds.TABLE for name in (row.name, row.children)] + [UNFINISHED, SOCKET])


def _remove_directory(path: str) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = set(os.listdir(directory))
        if found - _KNOWN:
            raise NotANamespace(errno.EINVAL, "a directory with other things than namespaces", step=f"forget {path}")
        if SOCKET in found:
            path = _hide(path)
            _release(handles.from_fds(keeper.fetch(directory, SOCKET) or [], path))
            keeper.end(directory, SOCKET)
            os.unlink(SOCKET, dir_fd=directory)
        elif "pid" in found:
            if os.fstat(directory).st_dev != os.stat(os.path.dirname(path)).st_dev:
                _mark(directory)
            try:
                _release([quiet(Namespace.at(f"{path}/pid"))])
            except NotANamespace:
                pass
    finally:
        os.close(directory)
    unmount_all(path)
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        _remove_files(path)
        os.rmdir(path)


def _remove_files(path: str) -> None:
    """The files of an entry that was no tmpfs, or is one no more."""
    for name in os.listdir(path):
        file = os.path.join(path, name)
        unmount_all(file)
        if os.lstat(file).st_size:
            raise NotANamespace(errno.EINVAL, f"{name} is not empty", step=f"forget {path}")
        os.unlink(file)


def discard(path: str) -> None:
    """Undo the making of an entry, after an error that matters more than one here: `sweep` finds what is left."""
    try:
        unmount_all(path)
        os.rmdir(path)
    except OSError:
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


def _hide(path: str) -> str:
    """Give an entry a name that only `sweep` looks at: from now on it is gone, even if we are killed."""
    directory, name = os.path.split(path)
    if os.path.basename(directory) == HIDDEN:
        return path
    hidden = os.path.join(directory, HIDDEN)
    os.makedirs(hidden, 0o700, exist_ok=True)
    try:
        os.rename(path, os.path.join(hidden, name))
    except OSError:
        try:
            os.rmdir(hidden)
        except OSError:
            pass
        raise
    return os.path.join(hidden, name)


def _mark(directory: int) -> None:
    """The same for an entry that is mounted."""
    if not exists(UNFINISHED, directory):
        os.close(os.open(UNFINISHED, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o444, dir_fd=directory))


def _release(kept: list[Namespace]) -> None:
    try:
        for namespace in kept:
            inits.tell(namespace, inits.release)
    finally:
        for namespace in kept:
            namespace.close()
