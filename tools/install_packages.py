"""Installs what `make` needs into the environment whose Python runs this; says in a line what prevents it.

    .venv/bin/python tools/install_packages.py service | develop | neural

pip writes pages when it has no network or no space; they go to `install.log` in the environment.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

TORCH_INDEX = "https://download.pytorch.org/whl/cpu"

_REASONS = {
    r"No space left on device|Errno 28\b": "no space is left on the disk. Free some, or use another disk:"
    " make VENV=/path/to/venv TARGET, and TMPDIR for what pip fetches",
    r"Read-only file system|Errno 30\b": "the file system is read-only. Put the environment elsewhere:"
    " make VENV=/path/to/venv TARGET",
    r"NewConnectionError|NameResolutionError|Temporary failure in name resolution|ConnectTimeout|ReadTimeout"
    r"|Network is unreachable|ProxyError|SSLError|Connection refused|Connection broken": "the package index"
    " cannot be reached. Check the network; a proxy is named by HTTPS_PROXY, a mirror by PIP_INDEX_URL",
}
"""What pip's output holds, and what that means; the first that is found counts."""


@dataclass(frozen=True)
class Step:
    """Some packages, and the megabytes of them: of the download and on the disk."""

    what: str
    requirements: tuple[str, ...]
    largest: str
    """One of them: where it is installed, there is no need for all that space."""
    download: int
    disk: int


SERVICE = Step("the packages, 63 MB of them the voice Kokoro-82M", ("--editable", "."), "numba", 300, 920)
DEVELOP = Step("the tools for development", ("--editable", ".[dev]"), "playwright", 100, 330)
NEURAL = Step("torch, for the tests of the neural engine", ("--editable", ".[sadtalker]"), "torch", 200, 860)
NEURAL_WITH_CUDA = replace(NEURAL, download=2_700, disk=5_700)

WORD_ON_CUDA = """\
The builds of torch for the CPU cannot be reached, and PyPI has only those for GPUs:
about {step.download} MB are fetched, and they take {step.disk} MB on the disk.
To do without them: Ctrl-C, then make test NEURAL=0. TORCH_INDEX=URL names a mirror of those for the CPU."""


class CannotInstall(Exception):
    """Its text says why."""


def check_space(step: Step, environment: Path) -> None:
    """Raises `CannotInstall` where a disk is too small: that of the environment, or that of the download."""
    if importlib.util.find_spec(step.largest):
        return
    needed = {environment: step.disk}
    download = Path(tempfile.gettempdir())
    if download.stat().st_dev == environment.stat().st_dev:
        needed[environment] += step.download
    else:
        needed[download] = step.download
    for folder, megabytes in needed.items():
        free = shutil.disk_usage(folder).free // 1_000_000
        if free < megabytes:
            name = "TMPDIR" if folder == download else "VENV"
            raise CannotInstall(
                f"{megabytes} MB are needed in {folder}, and {free} MB are free. Free some, or name a folder"
                f" on another disk: make {name}=/path/to/folder TARGET."
            )


def install(step: Step, log: Path) -> None:
    """Run pip. Raises `CannotInstall`."""
    with log.open("w") as file:
        code = _pip("install", *step.requirements, output=file)
    if code:
        raise CannotInstall(f"{reason_of(log.read_text(errors='replace'))}. All that pip said is in {log}.")


def reason_of(said: str) -> str:
    """Why pip failed, from its output, without a full stop."""
    for pattern, reason in _REASONS.items():
        if re.search(pattern, said):
            return reason
    errors = re.findall(r"^(?:ERROR|error): (.*)", said, re.MULTILINE)
    return str(errors[-1]).rstrip(".") if errors else "pip ended without a reason"


def install_torch(log: Path) -> None:
    """torch for itself, first: its makers' builds for the CPU are a sixth of what PyPI's bring along for
    GPUs, and PyPI has no other. Raises `CannotInstall`.
    """
    index = ("--retries=1", f"--extra-index-url={os.environ.get('TORCH_INDEX') or TORCH_INDEX}")
    with tempfile.TemporaryDirectory() as folder, log.open("w") as file:
        report = Path(folder, "report.json")
        _pip("install", "--dry-run", "--no-deps", f"--report={report}", *index, "torch", output=file)
        step = step_of(json.loads(report.read_text())) if report.exists() else NEURAL
    if step is NEURAL_WITH_CUDA:
        print(WORD_ON_CUDA.format(step=step), flush=True)
    check_space(step, Path(sys.prefix))
    install(replace(step, requirements=("--no-deps", *index, "torch")), log)


def step_of(report: dict[str, Any]) -> Step:
    """What comes with the torch of pip's report: nothing for GPUs where it is a build for the CPU, or there
    already."""
    wanted = [name for item in report["install"] for name in item["metadata"].get("requires_dist", ())]
    on_linux = sys.platform == "linux" and os.uname().machine == "x86_64"
    for_gpus = any(re.match(r"nvidia|cuda|triton", name) and "extra ==" not in name for name in wanted)
    return NEURAL_WITH_CUDA if on_linux and for_gpus else NEURAL


def _pip(*arguments: str, output: Any) -> int:
    """Its exit code. The pins hold for the packages and, by the second variable (pip >= 25.3), for what
    builds this one."""
    pins = {"PIP_CONSTRAINT": "constraints.txt", "PIP_BUILD_CONSTRAINT": "constraints.txt"}
    return subprocess.run(  # noqa: S603 - pip
        [sys.executable, "-m", "pip", *arguments],
        env={**os.environ, **pins, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        check=False,
    ).returncode


def main(name: str) -> None:
    """Install the step of this name."""
    environment, step = Path(sys.prefix), {"service": SERVICE, "develop": DEVELOP, "neural": NEURAL}[name]
    log = environment / "install.log"
    try:
        print(f"Installing {step.what}: {step.download} MB to fetch, {step.disk} MB on the disk", flush=True)
        if step is NEURAL:
            install_torch(log)
        check_space(step, environment)
        install(step, log)
    except CannotInstall as error:
        sys.exit(f"Cannot install {step.what}: {error}")


if __name__ == "__main__":
    main(sys.argv[1])
