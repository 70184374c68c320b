"""One process, several numbers."""

from __future__ import annotations

import os

import pytest

from pynamespaces import Isolation, Namespace, translate_pid


def test_both_ways() -> None:
    with Isolation("user", "pid").Popen(["sleep", "60"]) as process, Namespace.of(process, "pid") as inside:
        assert translate_pid(process.pid, target=inside) == 2
        assert translate_pid(2, source=inside) == process.pid
        assert translate_pid(2, source=process, target=process) == 2
        init = translate_pid(1, source=inside)
        assert inside.host_pids() == sorted([init, process.pid])
        with pytest.raises(ProcessLookupError):
            translate_pid(99999, source=inside)
        with pytest.raises(ProcessLookupError):
            translate_pid(os.getpid(), target=inside)
        process.kill()
    assert translate_pid(os.getpid()) == os.getpid()
    with pytest.raises(ProcessLookupError):
        translate_pid(2**31 - 1)


def test_bad_arguments() -> None:
    for bad in (0, -1, 2**31):
        with pytest.raises(ValueError, match="process id"):
            translate_pid(bad)
    for bad in (True, "1", None):
        with pytest.raises(TypeError):
            translate_pid(bad)
    with Namespace.current("net") as net:
        with pytest.raises(ValueError, match="only pid"):
            translate_pid(1, source=net)
        with pytest.raises(ValueError, match="only pid"):
            net.host_pids()
