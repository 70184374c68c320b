"""Kernel calls that fail: a selection of what `make faults` does, and each fault that it found."""

from __future__ import annotations

import threading

import pytest

import fault_operations
import faults
from conftest import IS_ROOT, in_child
from faults import Fault
from pynamespaces import Isolation

OPERATIONS = {operation.__name__: operation for operation in fault_operations.OPERATIONS}

faults.warm_up()

#: Every so many faults of an operation are tried here, the others by `make faults`.
STRIDE = 61


@pytest.mark.parametrize("name", OPERATIONS)
@in_child
def test_a_failing_call_is_named_and_leaves_everything_as_it_was(name: str) -> None:
    operation = OPERATIONS[name]
    plain = faults.run(operation)
    assert plain.outcome == "full", plain.text
    todo = [*faults.faults(plain.seen), *faults.faults(plain.seen, lasting=True)]
    assert todo
    for fault in todo[sum(name.encode()) % min(STRIDE, len(todo)) :: STRIDE]:
        result = faults.run(operation, fault)
        assert result.outcome != "WRONG", f"{fault}: {result.text}"


FOUND = [
    # a keeper that got its descriptors by halves
    ("persist_by_keeper", Fault("dup3", 1, "EMFILE")),
    ("persist_by_keeper", Fault("dup3", 2, "EMFILE")),
    # a keeper that ended, with what it kept, where descriptors were short
    ("persist_by_keeper", Fault("accept4", 1, "EMFILE")),
    # the hiding place stayed
    ("persist_by_keeper", Fault("mkdir", 3, "ENOSPC")),
    ("forget_kept", Fault("rename", 1, "EACCES")),
    # undoing failed, and its error hid the first; persist's own refusal had no step
    ("persist_by_keeper", Fault("umount2", 1, "ENOMEM", True)),
    ("persist_by_keeper", Fault("rmdir", 1, "EBUSY", True)),
    ("persist_by_keeper", Fault("flock", 1, "ENOLCK")),
    ("persist_by_keeper", Fault("openat", 2, "EMFILE")),
    # a descriptor stayed open
    ("forget_kept", Fault("fstatfs", 1, "ENOMEM")),
    # a keeper that broke off was taken for one that had ended, and went on for ever
    ("forget_kept", Fault("read", 2, "EIO")),
    ("forget_kept", Fault("sendto", 2, "EPIPE")),
    # rows were left out without a word
    ("list_saved", Fault("openat", 2, "EMFILE")),
    # the search for the cause needed a descriptor, too: ImportError
    ("rejoin_kept", Fault("openat", 2, "EMFILE", True)),
    # no step
    ("enter_of_a_process", Fault("newfstatat", 3, "ENOMEM")),
    ("call", Fault("fork", 1, "EAGAIN")),
    ("call", Fault("clone", 1, "EAGAIN")),
    ("call", Fault("recvfrom", 1, "ECONNRESET")),
    ("call", Fault("recvfrom", 7, "ENOMEM", True)),
    ("call", Fault("recvfrom", 8, "ENOMEM", True)),
    # the program's descriptor, and the child, stayed
    ("call", Fault("socketpair", 1, "EMFILE")),
    ("call", Fault("pidfd_open", 1, "EMFILE")),
    # a worker that no message reached was waited for
    ("executor", Fault("sendto", 3, "ENOMEM", True)),
    # an unreadable uid_map was taken for an empty one
    ("call_with_timeout", Fault("read", 1, "EIO")),
    # a mount stayed because the look at what lies there failed
    ("mount_and_unmount", Fault("openat", 5, "EMFILE")),
    ("mount_and_unmount", Fault("openat", 4, "EMFILE")),
    ("mount_and_unmount", Fault("statx", 5, "ENOMEM")),
    ("mount_and_unmount", Fault("newfstatat", 6, "ENOMEM")),
]
FOUND_BY_ROOT = [
    # an init whose release failed was kept for ever
    ("forget_pid", Fault("pidfd_open", 1, "EMFILE")),
    ("forget_pid", Fault("read", 1, "EIO")),
    ("persist_pid", Fault("unlinkat", 1, "EACCES")),
    # the note of an unfinished entry stayed
    ("persist_pid", Fault("fsopen", 1, "EMFILE")),
    ("persist_pid", Fault("rmdir", 1, "EBUSY")),
]


@pytest.mark.parametrize(("name", "fault"), [*FOUND, *(FOUND_BY_ROOT if IS_ROOT else ())], ids=str)
@in_child
def test_what_was_found(name: str, fault: Fault) -> None:
    result = faults.run(OPERATIONS[name], fault)
    assert result.outcome != "WRONG", result.text


@in_child
def test_workers_without_a_thread_to_hear_them_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            Isolation("user", "uts").executor(2)


@in_child
def test_the_way_back_that_is_cut_spends_the_thread() -> None:
    for call in ("setns", "fchdir", "chroot"):
        result = faults.run(fault_operations.leave_five, Fault(call, 1, "EPERM", True))
        assert result.outcome == "spent", result.text
