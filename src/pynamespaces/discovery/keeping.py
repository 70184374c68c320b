"""Names under which namespaces are kept: of the store, and of ``ip netns``."""

from __future__ import annotations

import os

from pynamespaces import keeper
from pynamespaces import store as stores

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pynamespaces.discovery.gathering import Gathering

NETNS = "/run/netns"


def names(gathering: Gathering) -> None:
    """By the paths of bind mounts in this thread's mnt namespace; what a keeper holds, by asking it."""
    store = stores.default()
    try:
        here = os.stat(f"{gathering.path}/thread-self/ns/mnt").st_ino
    except OSError:
        here = 0
    for note in gathering.notes.values():
        for bind in note.binds:
            if bind.mnt.ino == here:
                directory, _, last = bind.path.rpartition("/")
                if os.path.dirname(directory) == store:
                    note.names.append(os.path.basename(directory))
                elif directory in (NETNS, "/var/run/netns"):
                    note.names.append(last)
    _kept(gathering, store)


def _kept(gathering: Gathering, store: str) -> None:
    try:
        found = os.listdir(store)
        if os.stat(store).st_uid not in (0, os.geteuid()):
            return  # somebody else's, who could keep us waiting
    except OSError:
        return
    for name in sorted(found):
        path = os.path.join(store, name)
        if name.startswith(".") or not os.path.lexists(os.path.join(path, stores.SOCKET)):
            continue
        try:
            directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fds = keeper.fetch(directory, stores.SOCKET) or []
        except OSError:
            gathering.miss("names", "keepers do not answer")
            continue
        finally:
            os.close(directory)
        for fd in fds:
            try:
                gathering.adopt(fd).names.append(name)
            except OSError:
                pass
            finally:
                os.close(fd)
