"""A local build of `python:3.11-slim-bookworm` without a registry: a small Debian, freshly installed by
`debootstrap`, with the Python of the tests in the place of the image's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

SUITE = "bookworm"
LIBRARIES = (
    *("ca-certificates", "netbase", "tzdata"),
    *("libbz2-1.0", "libexpat1", "libffi8", "liblzma5", "libncursesw6", "libnsl2", "libreadline8"),
    *("libsqlite3-0", "libssl3", "libtirpc3", "libuuid1", "zlib1g"),
)
"""Packages that the image has beyond Debian's minimum: the libraries of Python's own modules."""
PROGRAMS = ("debootstrap", "unshare", "chroot", "mount")
_LEFT_OUT = shutil.ignore_patterns("site-packages", "test", "tests", "config-*", "*.a", "__pycache__")


def missing_for_containers() -> str | None:
    """Why containers cannot run here, or None if they can."""
    if os.geteuid() != 0:
        return "needs root, to make root file systems"
    if lacking := [program for program in PROGRAMS if not shutil.which(program)]:
        return f"needs {', '.join(lacking)}; apt-get install debootstrap"
    if sys.version_info[:2] != (3, 11):
        return "needs the image's Python, 3.11"
    probe = ["unshare", "--mount", "--pid", "--fork", "true"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        return "this machine does not allow namespaces"
    return None


def install_base_system(folder: Path) -> None:
    """Create the root file system. Takes a minute and downloads packages from this machine's Debian
    mirror."""
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(LIBRARIES)}", SUITE, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    shutil.rmtree(folder / "var/cache/apt/archives", ignore_errors=True)
    shutil.rmtree(folder / "var/lib/apt/lists", ignore_errors=True)
    python = Path(sys.base_prefix)
    for name in ("bin", "lib", "include"):
        left_out = _LEFT_OUT if name == "lib" else shutil.ignore_patterns("pip*", "idle*", "2to3*")
        shutil.copytree(
            python / name, folder / "usr/local" / name, symlinks=True, ignore=left_out, dirs_exist_ok=True
        )
    _let_reach_the_network(folder)
    for words in (["ldconfig"], ["/usr/local/bin/python3.11", "-m", "ensurepip", "--default-pip"]):
        subprocess.run(["/usr/sbin/chroot", folder, *words], check=True, capture_output=True)
    if not (folder / "usr/local/bin/python").exists():
        (folder / "usr/local/bin/python").symlink_to("python3.11")


def _let_reach_the_network(folder: Path) -> None:
    """Set up the network as Docker does, and add the certificates that this machine's pip trusts."""
    for name in ("/etc/resolv.conf", "/etc/hosts", os.environ.get("PIP_CERT", "")):
        if name and Path(name).is_file():
            target = folder / name.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copyfile(name, target)
