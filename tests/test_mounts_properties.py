"""Properties: what the option parsers let through the kernel takes, mountinfo is read as it was written, changes() says
what was changed."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from conftest import IS_ROOT, in_child
from pynamespaces import Isolation, mounts, procfs
from pynamespaces._kernel import mount as kernel
from pynamespaces.mounts import listing, options

USER = () if IS_ROOT else ("user",)
NO_NUL = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))

# ---- options ----


@in_child
def test_tmpfs_takes_every_size_and_mode_that_the_parser_lets_through() -> None:
    sizes = st.one_of(
        st.integers(-10, 2**64),
        st.text("0123456789kKmMgGtTpPeE%-+ .,", max_size=8),
        st.builds("{}{}".format, st.integers(0, 2**40), st.sampled_from(["", *"kKmMgGtTpPeE%"])),
    )

    @given(sizes, st.integers(-1, 0o10001))
    @settings(max_examples=300, deadline=None)
    def check(size: int | str, mode: int) -> None:
        try:
            words = ((b"size", options.size(size).encode()), (b"mode", options.mode(mode).encode()))
        except ValueError as error:
            assert repr(size) in str(error) or str(size) in str(error) or f"{mode:#o}" in str(error)
            return
        fd = kernel.detached(b"tmpfs", words)
        assert stat.S_IMODE(os.fstat(fd).st_mode) == mode
        os.close(fd)

    check()


@given(NO_NUL)
def test_a_target_is_absolute_and_normal_or_refused(text: str) -> None:
    try:
        target = options.target(text)
    except ValueError:
        assert not text.startswith("/")
        return
    assert target.startswith("/")
    assert not target.startswith("//")
    assert options.target(target) == target == os.path.normpath(target)
    assert ".." not in target.split("/")


@given(NO_NUL.filter(bool))
def test_a_source_is_absolute(text: str) -> None:
    assert os.path.isabs(options.source(text))
    assert options.source(Path(text)) == os.path.abspath(Path(text))


@given(st.dictionaries(st.sampled_from([*options.ATTRIBUTES, "sync", "exec"]), st.one_of(st.booleans(), st.integers())))
def test_attributes_are_booleans_with_known_names(wanted: dict[str, bool]) -> None:
    good = all(name in options.ATTRIBUTES and isinstance(value, bool) for name, value in wanted.items())
    if not good:
        with pytest.raises(TypeError):
            options.attributes(wanted)
        return
    assert options.attributes(wanted) == sum(options.ATTRIBUTES[name] for name, value in wanted.items() if value)


@given(NO_NUL)
def test_a_propagation_is_one_of_four(name: str) -> None:
    if name in [member.value for member in mounts.Propagation]:
        assert options.propagation(name).flag
    else:
        with pytest.raises(ValueError, match="private, slave, shared, unbindable"):
            options.propagation(name)


@given(st.binary(max_size=300), st.integers(0, 0o7777))
def test_a_file_says_its_content_and_its_size(data: bytes, mode: int) -> None:
    (step,) = mounts.file("/x", data, mode=mode).steps()
    assert (step.a, step.d, step.fd) == (data, len(data).to_bytes(8, "little"), mode)


# ---- mountinfo ----

ESCAPED = " \t\n\\#"


def escape(text: str) -> str:
    """As seq_path(9) does."""
    return "".join(f"\\{ord(c):03o}" if c in ESCAPED else c for c in text)


ROWS = st.lists(
    st.builds(
        mounts.Listed,
        id=st.integers(1, 2**31 - 1),
        parent=st.integers(1, 2**31 - 1),
        device=st.tuples(st.integers(0, 4095), st.integers(0, 2**20 - 1)),
        root=NO_NUL.map("/".__add__),
        target=NO_NUL.map("/".__add__),
        options=st.lists(st.sampled_from(["rw", "ro", "nosuid", "relatime"]), min_size=1).map(tuple),
        type=st.sampled_from(["tmpfs", "fuse.x", "nfs4"]),
        source=NO_NUL.filter(bool),
        super_options=st.lists(st.sampled_from(["rw", "size=1k", "x=y"]), min_size=1).map(tuple),
        propagation=st.just(mounts.Propagation.SHARED),
        peers=st.integers(1, 1000),
        master=st.one_of(st.none(), st.integers(1, 1000)),
        hidden=st.just(False),
    ),
    max_size=5,
)


@given(ROWS)
def test_mountinfo_is_read_as_it_was_written(rows: list[mounts.Listed]) -> None:
    lines = [
        f"{row.id} {row.parent} {row.device[0]}:{row.device[1]} {escape(row.root)} {escape(row.target)} "
        f"{','.join(row.options)} shared:{row.peers} {f'master:{row.master} ' if row.master else ''}- {row.type} "
        f"{escape(row.source)} {','.join(row.super_options)}\n"
        for row in rows
    ]
    found = listing.parse("".join(lines))
    assert [listing._hidden(row) for row in found] == [listing._hidden(row) for row in rows]


@given(NO_NUL)
def test_escapes_are_undone(text: str) -> None:
    assert procfs.unescape(escape(text)) == text


# ---- changes() ----

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TREE = st.dictionaries(PATHS, st.sampled_from([None, "", "x", "yy"]), max_size=6)
ACTS = st.lists(
    st.tuples(st.sampled_from(["write", "mkdir", "remove", "chmod", "link", "rename"]), PATHS, PATHS), max_size=6
)


def act(base: str, acts: list[tuple[str, str, str]]) -> dict[str, object]:
    """Do them where they can be done; what is there then."""
    for what, one, other in acts:
        path = os.path.join(base, one)
        try:
            if what == "write":
                os.makedirs(os.path.dirname(path), exist_ok=True)
                Path(path).write_text("written " + other)
            elif what == "mkdir":
                os.makedirs(path)
            elif what == "remove":
                shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
            elif what == "chmod":
                os.chmod(path, 0o711)
            elif what == "link":
                os.symlink(other, path)
            else:
                shutil.move(path, os.path.join(base, other))
        except (OSError, shutil.Error):
            pass
    return snapshot(base)


def snapshot(base: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for directory, subdirectories, files in os.walk(base):
        for name in (*subdirectories, *files):
            path = os.path.join(directory, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                found[path] = ("link", os.readlink(path))
            else:
                found[path] = (mode, Path(path).read_text() if stat.S_ISREG(mode) else None)
    return found


@example({"a/b/c": ""}, [("remove", "a", ""), ("mkdir", "a/b", "")])
@given(TREE, ACTS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_changes_says_what_was_changed(tree: dict[str, str | None], acts: list[tuple[str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as top:
        base, upper = os.path.join(top, "base"), os.path.join(top, "upper")
        os.mkdir(base)
        os.mkdir(upper)
        for name, content in tree.items():
            act(base, [("mkdir", name, "")] if content is None else [("write", name, content)])
        before = snapshot(base)
        box = Isolation(*USER, "mnt", mounts=[mounts.throw_away(base, upper=upper)])
        after = box.call(act, base, acts)
        assert snapshot(base) == before
        said = {change.path: change.what for change in mounts.changes(upper)}
        # Nobody may remove what overlay's work directory holds but its owner's root: it has mode 0.
        for directory, _, _ in os.walk(os.path.join(upper, "work")):
            os.chmod(directory, 0o700)
    for path, looks in after.items():
        if before.get(path) != looks:
            assert said.get(path) == "changed", (path, said)
    for path in before.keys() - after.keys():
        ancestors = [path, *[str(parent) for parent in Path(path).parents if str(parent) in before]]
        assert any(said.get(ancestor) for ancestor in ancestors), (path, said)
    for path, what in said.items():
        assert (path in after) == (what == "changed"), (path, what)
