"""The programs in examples/ do what they say: as root and as an ordinary user."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import IS_ROOT

EXAMPLES = Path(__file__).parent.parent / "examples"
USR = [path for path in ("/bin", "/lib", "/lib64") if os.path.islink(path)]


def example(name: str, *argv: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), *map(str, argv)]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | environment, timeout=120, check=False
    )


def image(path: Path) -> Path:
    """A directory as the root: this machine's /usr by links, and a file of its own."""
    for name in ("etc", "usr", "proc", "sys", "dev", "tmp"):
        (path / name).mkdir(parents=True)
    for link in USR:
        (path / link.lstrip("/")).symlink_to(os.readlink(link))
    (path / "etc/hosts").write_text("the image's\n")
    (path / "etc/issue").write_text("image\n")
    return path


def test_each_is_short_and_explains_itself() -> None:
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text("utf-8").splitlines()) < 100, path
        assert "usage:" in example(path.name, "--help").stdout


def test_container_of_this_machine() -> None:
    links = "; ".join(f"readlink /proc/self/ns/{name}" for name in ("mnt", "uts", "ipc", "net", "pid", "cgroup"))
    done = example(
        "container.py", "--name", "web", "--", "sh", "-c",
        f"{links}; id -u; hostname; echo $$; cat /etc/hosts; ls /; ls /sys/class/net; touch /usr/x; "
        "dd if=/dev/zero of=/tmp/x bs=1M count=80; grep NoNewPrivs /proc/self/status; exit 7",
    )  # fmt: skip
    lines = done.stdout.split("\n")
    here = {os.readlink(f"/proc/self/ns/{line.partition(':')[0]}") for line in lines[:6]}
    assert len({*lines[:6]}) == 6
    assert not here & {*lines[:6]}
    assert lines[6:10] == ["0", "web", "2", "127.0.0.1 localhost web"]
    assert "home" not in lines
    assert "lo" in lines
    assert "NoNewPrivs:\t1" in lines
    assert "Read-only file system" in done.stderr
    assert "No space left on device" in done.stderr
    assert done.returncode == 7


def test_container_of_an_image(tmp_path: Path) -> None:
    root, shared = image(tmp_path / "image"), tmp_path / "shared"
    shared.mkdir()
    (shared / "x").write_text("shared")
    before = sorted(str(path) for path in root.rglob("*"))
    options = ["--root", root, "--volume", "/usr:/usr:ro", "--volume", f"{shared}:/srv/shared"]
    done = example(
        "container.py", *options, "--", "sh", "-c",
        "cat /etc/issue /srv/shared/x; grep -c web /etc/hosts; echo new > /etc/issue; touch /made /srv/shared/y; ls /",
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.startswith("image\nshared0\n")
    assert "made" in done.stdout
    assert sorted(str(path) for path in root.rglob("*")) == before  # the image has nothing of it
    assert (root / "etc/issue").read_text() == "image\n"
    assert sorted(os.listdir(shared)) == ["x", "y"]


def test_container_whose_image_leads_out_is_confined(tmp_path: Path) -> None:
    """An image with its /dev, /proc and /etc as links to the host's."""
    root, out = image(tmp_path / "image"), tmp_path / "out"
    out.mkdir()
    for name in ("dev", "proc", "etc"):
        target = root / name
        for inside in target.iterdir():
            inside.unlink()
        target.rmdir()
        target.symlink_to(out)
    done = example("container.py", "--root", root, "--volume", "/usr:/usr:ro", "--", "true")
    assert done.returncode == 125
    assert "the way to the target" in done.stderr
    assert os.listdir(out) == []


def test_container_made_by_debootstrap(tmp_path: Path) -> None:
    """With a stand-in that makes an image without the network: it is called once, as root inside."""
    tools = tmp_path / "tools"
    tools.mkdir()
    stand_in = tools / "debootstrap"
    stand_in.write_text(
        '#!/bin/sh\nset -e\n[ "$(id -u) $1 $2" = "0 --variant=minbase stable" ]\nmkdir -p "$3/etc" "$3/usr"\n'
        + "".join(f'ln -s {os.readlink(link)} "$3{link}"\n' for link in USR)
        + 'echo made >> "$3/etc/issue"\n'
    )
    stand_in.chmod(0o755)
    for _ in range(2):
        done = example(
            "container.py", "--root", tmp_path / "root", "--debootstrap", "stable", "--volume", "/usr:/usr:ro", "--",
            "cat", "/etc/issue", PATH=f"{tools}:{os.environ['PATH']}",
        )  # fmt: skip
        assert (done.stdout, done.stderr) == ("made\n", "")


def test_container_refused_says_why() -> None:
    done = example("container.py", "--root", "/no/such", "--", "true")
    assert done.returncode == 125
    assert "/no/such" in done.stderr
    done = example("container.py", "--", "/no/such/program")
    assert done.returncode == 125
    assert "No such file" in done.stderr


def test_what_an_installer_changes(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "config").write_text("one\n")
    (home / "old").touch()
    script = "cd; mkdir -p lib; echo data > lib/data; echo two >> config; rm old; : > /made-by-installer; exit 3"
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = example("what_changes.py", "--show", "--", "sh", "-c", script, HOME=str(home), TMPDIR=str(temporary))
    assert done.returncode == 3
    assert done.stderr == ""
    lines = done.stdout.split("\n")
    assert {f"+ {home}/lib", f"+ {home}/lib/data", f"+ {home}/config", f"- {home}/old", "+two"} <= {*lines}
    assert "+ /made-by-installer" in lines
    assert sorted(os.listdir(home)) == ["config", "old"]
    assert (home / "config").read_text() == "one\n"
    assert not os.path.exists("/made-by-installer")
    assert os.listdir(temporary) == []


@pytest.mark.skipif(not IS_ROOT, reason="system files are the machine's root's to change")
def test_what_a_system_wide_installer_changes() -> None:
    done = example("what_changes.py", "--", "sh", "-c", "chmod 700 /opt; echo x > /usr/local/bin/thing")
    assert {"+ /opt", "+ /usr/local/bin/thing"} <= {*done.stdout.split("\n")}, done
    assert not os.path.exists("/usr/local/bin/thing")
