"""Write constraints.txt: the exact versions of packages, development tools and build backend.

A fresh environment resolves them on the oldest supported Python, so that no pin asks for a newer one. Then
each pin must have a wheel for every other supported Python (Linux, x86-64): a machine that installs them
needs no compiler. Where a version lacks one, the newest older version that has it is pinned for that Python.

    python3.11 tools/write_constraints.py            # or: make constraints
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
TARGET = REPOSITORY / "constraints.txt"

PYTHONS = ("3.11", "3.12", "3.13")
"""Supported Python versions, the oldest first."""

PLATFORMS = (
    "manylinux_2_28_x86_64",
    "manylinux_2_27_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux2014_x86_64",
)
"""Wheel tags that run on a Linux with glibc 2.28 or newer."""

TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
"""Builds of torch that bring nothing for GPUs along, which would be pinned too."""

HEADER = f"""\
# The exact versions that `make install` and `make test` set up. Written by `make constraints`; do not edit.
# Each has a wheel for Python {", ".join(PYTHONS[:-1])} and {PYTHONS[-1]} on Linux x86-64.
"""

Pins = dict[str, str]
"""Package name -> version."""


def main() -> None:
    if f"{sys.version_info.major}.{sys.version_info.minor}" != PYTHONS[0]:
        raise SystemExit(f"Run this with Python {PYTHONS[0]}, the oldest that is supported.")
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = (str(Path(folder) / "bin" / "python"), "-m", "pip", "--disable-pip-version-check")
        pins = resolve(pip)
        exceptions = {python: pins_without_wheel(pip, pins, python) for python in PYTHONS[1:]}
    TARGET.write_text(HEADER + "\n".join(lines(pins, exceptions)) + "\n")
    print(f"{TARGET.name}: {len(pins)} packages")


def resolve(pip: Sequence[str]) -> Pins:
    """Install this package, its tools and its build backend without any pin, and see what came."""
    run(*pip, "install", "--quiet", "--no-deps", f"--extra-index-url={TORCH_INDEX}", "torch")
    run(*pip, "install", "--quiet", "--editable", f"{REPOSITORY}[dev,sadtalker,captions]", "hatchling")
    frozen = run(*pip, "freeze", "--exclude-editable")
    pins = dict(line.split("==") for line in frozen.split())
    return {name: version.partition("+")[0] for name, version in pins.items()}  # 2.13.0+cpu is 2.13.0 too


def pins_without_wheel(pip: Sequence[str], pins: Pins, python: str) -> Pins:
    """The packages that need another version on a Python, with the version."""
    try:
        wheels(pip, [f"{name}=={version}" for name, version in pins.items()], python)
    except subprocess.CalledProcessError:
        print(f"Python {python}: some version has no wheel; looking at each package")
        available = {name: newest_with_wheel(pip, name, version, python) for name, version in pins.items()}
        return {name: version for name, version in available.items() if version != pins[name]}
    return {}


def newest_with_wheel(pip: Sequence[str], name: str, version: str, python: str) -> str:
    """The newest version up to the pinned one that has a wheel for a Python."""
    return wheels(pip, [f"{name}<={version}"], python)[0]


def wheels(pip: Sequence[str], requirements: Sequence[str], python: str) -> list[str]:
    """The versions that would be installed from wheels on a Python; CalledProcessError if one has none."""
    platforms = [f"--platform={tag}" for tag in PLATFORMS]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        only = (
            "--dry-run",
            "--no-deps",
            "--ignore-installed",
            "--only-binary=:all:",
            f"--python-version={python}",
        )
        run(
            *pip,
            "install",
            "--quiet",
            *only,
            *platforms,
            f"--target={folder}",
            f"--report={report}",
            *requirements,
        )
        return [item["metadata"]["version"] for item in json.loads(report.read_text())["install"]]


def lines(pins: Pins, exceptions: dict[str, Pins]) -> list[str]:
    """The pins in alphabetical order, with a marker where a Python has an exception."""
    text = []
    for name in sorted(pins, key=str.lower):
        special = {python: found[name] for python, found in exceptions.items() if name in found}
        others = " and ".join(f'python_version != "{python}"' for python in special)
        text.append(f"{name}=={pins[name]}" + (f" ; {others}" if others else ""))
        text += [f'{name}=={version} ; python_version == "{python}"' for python, version in special.items()]
    return text


def run(*command: str) -> str:
    """The output of a command; CalledProcessError, with what it complained of as a note, when it fails."""
    free = {name: value for name, value in os.environ.items() if not name.endswith("_CONSTRAINT")}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=free)  # noqa: S603 - our words
    if done.returncode:
        error = subprocess.CalledProcessError(done.returncode, command)
        error.add_note(done.stderr)
        raise error
    return done.stdout


if __name__ == "__main__":
    main()
