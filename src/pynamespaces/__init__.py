"""Linux namespaces from Python: with blocks that come back, processes and functions inside, kept and rejoined.

Needs Linux and Python 3.11 or newer; every feature is tried rather than guessed from versions, and refused by a
`NotSupported` that says why where the kernel is older (setns by pidfd wants 5.8, PIDFD_GET_*_NAMESPACE 6.11).

Layout, from the floor up (imports only run downward):

    _kernel                          the C core and its thin typed modules; alone talks to the kernel
    kinds, ids, errors, causes       the eight kinds as a table; what the kernel refuses, and why
    procfs, pidfds, handles          what /proc says; a process held; a namespace held
    plan, ways, inits, blocks        a plan is a tuple of steps; executor 1: this thread, there and back
    launching, processes             executor 2: a child that execs
    children, calls, workers         and one that runs a Python function
    errands                          executor 3: one that makes a descriptor in other namespaces, and ends
    ways_out                         a new network's way out, by pasta or slirp4netns
    places, sets, isolation          where code can run: existing namespaces, or a description of new ones
    mounts                           what can be mounted inside: values, acts, a list
    store, entries, persistence      names, bind mounts, keepers
    discovery                        every namespace on the machine, and who holds it
    trials, doctor                   what this machine allows, tried; and where it does not, why

Above the door, by ``pip install 'pynamespaces[net]'``: `pynamespaces.net`, namespaces as hosts joined by wires.
"""

from __future__ import annotations

from pynamespaces.errors import (
    AlreadyExists,
    NamespaceError,
    NoSuchProcess,
    NotFound,
    NotPermitted,
    NotSupported,
    RestoreError,
)
from pynamespaces.kinds import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pynamespaces import mounts as mounts
    from pynamespaces.blocks import Block as Block
    from pynamespaces.blocks import NotInABlock as NotInABlock
    from pynamespaces.clocks import ClockOffsets as ClockOffsets
    from pynamespaces.discovery import Census as Census
    from pynamespaces.discovery import Found as Found
    from pynamespaces.discovery import discover as discover
    from pynamespaces.discovery.powers import can as can
    from pynamespaces.doctor import Report as Report
    from pynamespaces.doctor import doctor as doctor
    from pynamespaces.entries import Stale as Stale
    from pynamespaces.handles import Namespace as Namespace
    from pynamespaces.handles import NotANamespace as NotANamespace
    from pynamespaces.idmaps import IdMap as IdMap
    from pynamespaces.ids import NamespaceId as NamespaceId
    from pynamespaces.isolation import Isolation as Isolation
    from pynamespaces.isolation import unshare as unshare
    from pynamespaces.persistence import Saved as Saved
    from pynamespaces.persistence import forget as forget
    from pynamespaces.persistence import saved as saved
    from pynamespaces.pidfds import PidFd as PidFd
    from pynamespaces.pids import translate_pid as translate_pid
    from pynamespaces.places import Place as Place
    from pynamespaces.processes import Popen as Popen
    from pynamespaces.remote import ChildDied as ChildDied
    from pynamespaces.rootless import become_root as become_root
    from pynamespaces.sets import NamespaceSet as NamespaceSet
    from pynamespaces.targets import enter as enter
    from pynamespaces.targets import rejoin as rejoin
    from pynamespaces.ways_out import WayOut as WayOut
    from pynamespaces.ways_out import way_out as way_out

#: What is imported at its first use: name -> module.
_LAZY = {
    "Block": "blocks",
    "Census": "discovery",
    "ChildDied": "remote",
    "ClockOffsets": "clocks",
    "Found": "discovery",
    "IdMap": "idmaps",
    "Isolation": "isolation",
    "Namespace": "handles",
    "NamespaceId": "ids",
    "NamespaceSet": "sets",
    "NotANamespace": "handles",
    "NotInABlock": "blocks",
    "PidFd": "pidfds",
    "Place": "places",
    "Popen": "processes",
    "Report": "doctor",
    "Saved": "persistence",
    "Stale": "entries",
    "WayOut": "ways_out",
    "become_root": "rootless",
    "can": "discovery.powers",
    "discover": "discovery",
    "doctor": "doctor",
    "enter": "targets",
    "forget": "persistence",
    "mounts": "mounts",
    "net": "net",
    "rejoin": "targets",
    "saved": "persistence",
    "translate_pid": "pids",
    "unshare": "isolation",
    "way_out": "ways_out",
}

__all__ = [
    "AlreadyExists",
    "Block",
    "Census",
    "ChildDied",
    "ClockOffsets",
    "Found",
    "IdMap",
    "Isolation",
    "Kind",
    "Namespace",
    "NamespaceError",
    "NamespaceId",
    "NamespaceSet",
    "NoSuchProcess",
    "NotANamespace",
    "NotFound",
    "NotInABlock",
    "NotPermitted",
    "NotSupported",
    "PidFd",
    "Place",
    "Popen",
    "Report",
    "RestoreError",
    "Saved",
    "Stale",
    "WayOut",
    "become_root",
    "can",
    "discover",
    "doctor",
    "enter",
    "forget",
    "mounts",
    "rejoin",
    "saved",
    "translate_pid",
    "unshare",
    "way_out",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    try:
        module = _LAZY[name]
    except KeyError:
        raise AttributeError(f"module 'pynamespaces' has no attribute {name!r}") from None
    attribute: object = import_module(f"pynamespaces.{module}")
    if name != module:
        attribute = getattr(attribute, name)
    globals()[name] = attribute
    return attribute


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
