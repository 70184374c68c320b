"""The door and the house: what is exported, how light it is, and that imports only run downward."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pynamespaces

SOURCE = Path(pynamespaces.__file__).parent
#: The cdef is not installed.
TREE = Path(__file__).parent.parent / "src" / "pynamespaces"

#: From the floor up; a module imports, when it is imported, only what stands before it.
ORDER = """
    values _kernel kinds ids errors capabilities procfs mount_causes causes pidfds handles pids clocks plan inits
    errands ways blocks idmaps launching places sets mounts processes ways_out children remote workers calls isolation
    store keeper removal entries persistence targets rootless discovery trials doctor __init__ net pytest_labs
    shell cli_run cli_enter cli_doctor cli_ls cli_tree cli_show tour cli __main__ pytest_plugin
""".split()  # noqa: SIM905


def test_every_name_of_the_door_is_there_and_typed() -> None:
    tree = ast.parse((SOURCE / "__init__.py").read_text("utf-8"))
    shown = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pynamespaces")
        for alias in node.names
    }
    assert shown == set(pynamespaces.__all__)
    assert sorted(pynamespaces.__all__) == pynamespaces.__all__
    for name in pynamespaces.__all__:
        assert getattr(pynamespaces, name).__doc__, name
        assert name in dir(pynamespaces)


def test_importing_is_light() -> None:
    heavy = {
        "dataclasses",
        "typing",
        "subprocess",
        "inspect",
        "threading",
        "socket",
        "asyncio",
        "contextlib",
        "logging",
    }
    code = "import sys; before = set(sys.modules); import pynamespaces; print(*(set(sys.modules) - before))"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert not heavy & set(loaded)
    assert len(loaded) < 40


def test_importing_changes_nothing() -> None:
    code = (
        "import os; e = dict(os.environ); f = os.listdir('/proc/self/fd'); import pynamespaces.tour; "
        "assert dict(os.environ) == e and len(os.listdir('/proc/self/fd')) == len(f)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_imports_only_run_downward() -> None:
    modules = [(path.stem, path) for path in SOURCE.glob("*.py")]
    modules += [(path.parent.name, path) for path in SOURCE.glob("[a-z]*/*.py")]
    assert {name for name, _ in modules} | {"_kernel"} == set(ORDER)
    for name, path in modules:
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pynamespaces"):
                parts = node.module.split(".")
                below = [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
                for other in below:
                    inside = other == name and path.parent != SOURCE
                    assert inside or ORDER.index(other) < ORDER.index(name), f"{path} imports {other}"


def test_only_the_floor_talks_to_the_kernel() -> None:
    for path in [*SOURCE.glob("*.py"), *SOURCE.glob("[a-z]*/*.py")]:
        text = path.read_text("utf-8")
        assert "_ffi import" not in text or path.stem == "kinds", path
        assert "ctypes" not in text or path.stem == "tour", path
    raisers = [path for path in SOURCE.rglob("_kernel/*.py") if re.search(r"raise OSError", path.read_text("utf-8"))]
    assert [path.name for path in raisers] == ["answers.py"]


def test_no_pointer_that_c_writes_through_can_be_given_bytes() -> None:
    """cffi passes a bytes to any `char *` and `void *`, and C could write into an immutable object."""
    cdef = re.sub(r"/\*.*?\*/", "", (TREE / "_kernel" / "_ffi.cdef.txt").read_text("ascii"), flags=re.S)
    for arguments in re.findall(r"\bpn_\w+\(([^)]*)\)", cdef):
        for argument in arguments.split(","):
            if re.search(r"\b(char|void)\s*\*", argument):
                assert argument.strip().startswith("const"), argument


def test_modules_have_outgrown_nothing() -> None:
    for path in SOURCE.rglob("*.py"):
        assert len(path.read_text("utf-8").splitlines()) <= 400, path


def test_typed() -> None:
    assert (SOURCE / "py.typed").exists()
    assert os.access(SOURCE / "_kernel" / "_ffi" / "lib.pyi", os.R_OK)


def test_the_typing_program_uses_the_whole_door() -> None:
    program = Path(__file__).parent / "typing" / "door.py"
    used = {node.id for node in ast.walk(ast.parse(program.read_text("utf-8"))) if isinstance(node, ast.Name)}
    assert set(pynamespaces.__all__) <= used | {"mounts"}
