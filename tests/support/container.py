"""Runs the steps of a Dockerfile without Docker: each stage in a root file system of its own.

The operating system is this machine's, seen through overlays that take all changes; Python is the one that
runs the tests, put where the base image has its own; the folder /opt is the stage's. A command runs in a
mount and a process namespace of its own, in a chroot, with its own environment, on this machine's network.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.dockerfile import Instruction, Stage

SYSTEM = ("usr", "etc", "var")
"""Folders of the operating system, seen through overlays."""
LINKS = ("bin", "sbin", "lib", "lib64")
"""Symbolic links into usr, on a system of today."""
EMPTY = ("tmp", "proc", "dev", "data", "build", "root", "run")
BASE_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin", "HOME": "/root"}


def missing_for_containers() -> str | None:
    """Why no container can be made here; None if one can."""
    if os.geteuid() != 0:
        return "needs root, to make root file systems"
    if not all(shutil.which(program) for program in ("unshare", "chroot", "mount")):
        return "needs unshare, chroot and mount"
    if not all(Path("/", link).is_symlink() for link in LINKS if Path("/", link).exists()):
        return "needs a system whose /bin is /usr/bin"
    if not all(Path(sys.base_prefix, "bin", program).exists() for program in ("python", "pip")):
        return "needs a Python with its own pip, as the base image has"
    probe = ["unshare", "--mount", "--pid", "--fork", "true"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        return "this machine allows no namespaces"
    return None


@dataclass
class RootFileSystem:
    """What a stage has made so far."""

    folder: Path
    """Empty, on a file system that can carry overlays."""
    working_directory: str = "/"
    environment: dict[str, str] = field(default_factory=lambda: dict(BASE_ENVIRONMENT))
    user: str = "0:0"

    def __post_init__(self) -> None:
        """Make the folders and links."""
        self.root = self.folder / "root"
        for name in (*SYSTEM, *EMPTY, "opt"):
            (self.root / name).mkdir(parents=True)
        for name in LINKS:
            if Path("/", name).is_symlink():
                (self.root / name).symlink_to(Path("/", name).readlink())
        for layer in (*SYSTEM, "local"):
            (self.folder / "changes" / layer).mkdir(parents=True)
            (self.folder / "work" / layer).mkdir(parents=True)
        (self.root / "tmp").chmod(0o1777)
        assert self.run(["ldconfig"]).returncode == 0  # for Python's own library

    def build(self, stage: Stage, context: Path, stages: Mapping[str, RootFileSystem]) -> None:
        """Carry out the instructions of `stage`."""
        for instruction in stage.instructions:
            match instruction.name:
                case "WORKDIR":
                    self.working_directory = instruction.text
                case "ENV":
                    self.environment |= Stage("", None, (instruction,)).environment
                case "USER":
                    self.user = instruction.text
                case "COPY":
                    self._copy(instruction, context, stages)
                case "RUN":
                    self._run_step(instruction.text)

    def command(
        self,
        words: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        read_only: bool = False,
    ) -> list[str]:
        """A command line for this machine that runs `words` inside. It ends with all that it has started."""
        values = {**self.environment, **(environment or {})}
        inside = [
            *("chroot", f"--userspec={self.user}", "--groups=", str(self.root)),
            *("/usr/bin/env", "--ignore-environment", f"--chdir={self.working_directory}"),
            *(f"{name}={value}" for name, value in values.items()),
            *words,
        ]
        script = "\n".join([*self._mounts(read_only=read_only), f"exec {shlex.join(inside)}"])
        return [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"),
            *("sh", "-eu", "-c", script),
        ]

    def run(
        self, words: Sequence[str], *, environment: Mapping[str, str] | None = None, read_only: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run `words` to their end."""
        command = self.command(words, environment=environment, read_only=read_only)
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def path(self, inside: str) -> Path:
        """Where a path of the inside lies, for what the stage itself has made."""
        parts = Path(inside).parts[1:]
        if parts[:2] == ("usr", "local"):
            return self.folder.joinpath("changes", "local", *parts[2:])
        if parts[0] in SYSTEM:
            return self.folder.joinpath("changes", *parts)
        return self.root.joinpath(*parts)

    def _run_step(self, script: str) -> None:
        packages = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        done = self.run(["/bin/sh", "-c", script], environment=packages)
        assert done.returncode == 0, f"RUN {script}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"

    def _copy(self, copy: Instruction, context: Path, stages: Mapping[str, RootFileSystem]) -> None:
        *sources, target = copy.operands
        origin = stages.get(copy.options.get("from", ""))
        into = self.path(str(Path(self.working_directory, target)))
        for source in sources:
            found = origin.path(source) if origin else context / source
            whole = target.endswith("/") or (len(sources) > 1) or target == "."
            destination = into / found.name if whole and found.is_file() else into
            destination.parent.mkdir(parents=True, exist_ok=True)
            # files of another stage are not changed any more: links to them are as good as copies
            link = ["--link"] if origin else []
            subprocess.run(["/bin/cp", "-a", *link, "-T", found, destination], check=True)
            if mode := copy.options.get("chmod"):
                destination.chmod(int(mode, 8))

    def _mounts(self, *, read_only: bool) -> list[str]:
        changes, work, root = self.folder / "changes", self.folder / "work", self.root
        python = Path(sys.base_prefix)
        layers = [(name, Path("/", name)) for name in SYSTEM]
        lines = [f"mount --bind {root} {root}"]
        for name, lower in layers:
            lines.append(
                f"mount -t overlay overlay {root / name}"
                f" -o lowerdir={lower},upperdir={changes / name},workdir={work / name}"
            )
        lines.append(
            f"mount -t overlay overlay {root}/usr/local"
            f" -o lowerdir={python},upperdir={changes / 'local'},workdir={work / 'local'}"
        )
        frozen = [*(root / name for name in SYSTEM), root / "usr/local", root]
        for mirror in Path("/opt").iterdir():  # of packages, where this machine has any
            (root / "opt" / mirror.name).mkdir(exist_ok=True)
            lines.append(f"mount --bind {mirror} {root}/opt/{mirror.name}")
        if read_only:
            lines += [f"mount --bind {root}/data {root}/data"]
            lines += [f"mount -o remount,ro {path}" for path in frozen[:-1]]
            lines += [f"mount -o remount,bind,ro {root}"]
        # as Docker mounts one: nothing in it can be executed
        lines += [f"mount -t tmpfs -o noexec,nosuid,nodev,mode=1777,size=512m tmpfs {root / 'tmp'}"]
        lines += [f"mount -t proc proc {root}/proc", f"mount --rbind /dev {root}/dev"]
        return lines
