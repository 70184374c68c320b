"""IdMap: ranges, their text, and what is refused before any call."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pynamespaces as ns
from conftest import IS_ROOT, drop_to_user, in_child, need
from pynamespaces import IdMap, Isolation, idmaps


def test_the_usual_ones() -> None:
    assert IdMap.root().uid_text() == f"0 {os.geteuid()} 1\n"
    assert IdMap.current().gids == ((os.getegid(), os.getegid(), 1),)
    assert all(inside == outside for inside, outside, _ in IdMap.identity().uids)
    assert IdMap([(0, 5, 1)], [(0, 6, 2)]) == IdMap(uids=((0, 5, 1),), gids=((0, 6, 2),))


@pytest.mark.parametrize(
    "ranges",
    [
        [],
        [(0, 0, 0)],
        [(-1, 0, 1)],
        [(0, -1, 1)],
        [(0, 2**32 - 1, 1)],
        [(0, 2**32 - 3, 3)],
        [(0, 0, 10), (5, 100, 1)],
        [(0, 0, 10), (20, 5, 1)],
        [(n, n, 1) for n in range(0, 700, 2)],
        [(4_000_000_000 + n, 4_000_000_000 + n, 1) for n in range(0, 400, 2)],
    ],
)
def test_what_the_kernel_would_refuse_is_refused_before(ranges: list[tuple[int, int, int]]) -> None:
    with pytest.raises(ValueError, match="uids"):
        IdMap(ranges, [(0, 0, 1)])
    with pytest.raises(ValueError, match="gids"):
        IdMap([(0, 0, 1)], ranges)


@pytest.mark.parametrize("ranges", [[(0, 0)], [("0", 0, 1)], [(0, 0, True)], [0]])
def test_types(ranges: list[object]) -> None:
    with pytest.raises(TypeError):
        IdMap(ranges, [(0, 0, 1)])


@st.composite
def maps(draw: st.DrawFn) -> tuple[tuple[int, int, int], ...]:
    inside = outside = 0
    found = []
    for _ in range(draw(st.integers(1, 30))):
        inside += draw(st.integers(0, 1000))
        outside += draw(st.integers(0, 100000))
        count = draw(st.integers(1, 65536))
        found.append((inside, outside, count))
        inside, outside = inside + count, outside + count
    return tuple(found)


@given(maps(), maps())
def test_text_round_trips(uids: tuple[tuple[int, int, int], ...], gids: tuple[tuple[int, int, int], ...]) -> None:
    ids = IdMap(uids, gids)
    assert IdMap.parse(ids.uid_text(), ids.gid_text()) == ids


@given(st.text(max_size=60))
def test_any_other_text_is_a_value_error(text: str) -> None:
    try:
        found = IdMap.parse(text, "0 0 1")
    except ValueError:
        return
    assert found.uids


@given(maps())
def test_a_split_covers_the_same_ids(uids: tuple[tuple[int, int, int], ...]) -> None:
    if not IS_ROOT:
        uids = ((uids[0][0], os.getuid(), 1),)
    cut = idmaps.split(uids, "uid")
    assert {(i + n, o + n) for i, o, c in cut for n in (0, c - 1)} >= {(i, o) for i, o, _ in uids}
    assert sum(count for _, _, count in cut) == sum(count for _, _, count in uids)


@in_child
def test_ranges_are_cut_along_the_extents_of_the_parent_s_map() -> None:
    if not IS_ROOT:
        pytest.skip("more than one id to give takes root (or newuidmap, tested elsewhere)")

    def inner() -> str:
        ids = IdMap([(0, 0, 30)], [(0, 0, 30)])
        return Isolation("user", ids=ids).run(["cat", "/proc/self/uid_map"], capture_output=True, text=True).stdout

    outer = Isolation("user", ids=IdMap([(0, 100000, 10), (10, 200000, 20)], [(0, 100000, 10), (10, 200000, 20)]))
    assert [line.split() for line in outer.call(inner).splitlines()] == [["0", "0", "10"], ["10", "10", "20"]]

    def hole() -> None:
        Isolation("user", ids=IdMap([(0, 25, 30)], [(0, 0, 1)])).run(["true"])

    with pytest.raises(ValueError, match="uid 30 is not mapped"):
        outer.call(hole)


def test_root_gives_ranges_and_the_command_is_root_of_them() -> None:
    if not IS_ROOT:
        pytest.skip("takes CAP_SETUID; an ordinary user's way is newuidmap")
    ids = IdMap([(0, 100000, 65536)], [(0, 100000, 65536)])
    done = Isolation("user", ids=ids).run(
        ["sh", "-c", "id -u; id -g; cat /proc/self/setgroups"], capture_output=True, text=True
    )
    assert done.stdout.split() == ["0", "0", "allow"]
    assert Isolation("user", ids=ids).call(os.getuid) == 0


@in_child
def test_subordinate_ids_by_the_real_newuidmap(tmp_path: Path) -> None:
    need("newuidmap")
    if not IS_ROOT:
        pytest.skip("/etc/subuid is bound over by root, and then an ordinary user uses it")
    for name in ("subuid", "subgid"):
        (tmp_path / name).write_text("somebody:300000:1000\n")
        Path(f"/etc/{name}").touch()
        subprocess.run(["mount", "--bind", tmp_path / name, f"/etc/{name}"], check=True)
    (tmp_path / "passwd").write_text("root:x:0:0::/root:/bin/sh\nsomebody:x:12345:12345::/:/bin/sh\n")
    subprocess.run(["mount", "--bind", tmp_path / "passwd", "/etc/passwd"], check=True)
    drop_to_user(12345)
    ids = IdMap.subids()
    assert ids.uids == ((0, 12345, 1), (1, 300000, 1000))
    done = Isolation("user", ids=ids).run(["cat", "/proc/self/uid_map"], capture_output=True, text=True)
    assert [line.split() for line in done.stdout.splitlines()] == [["0", "12345", "1"], ["1", "300000", "1000"]]
    with pytest.raises(ns.NotPermitted, match="newuidmap"):
        Isolation("user", ids=IdMap([(0, 12345, 1), (1, 400000, 10)], [(0, 12345, 1)])).run(["true"])


@in_child
def test_no_subordinate_ids_is_said() -> None:
    if IS_ROOT:
        drop_to_user(23456)
    with pytest.raises(ns.NotSupported, match=r"sub[ug]id"):
        IdMap.subids()
