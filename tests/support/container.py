"""Run the steps of a Dockerfile without Docker, each stage in its own root file system.

The base image is that of `base_system.py`, below an overlay with the stage's changes. A command runs in its
own mount and process namespaces, in a chroot, with its own environment, on this machine's network.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.dockerfile import Instruction, Stage

BASE_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin", "HOME": "/root"}
NOTHING: Mapping[str, str] = {}
NO_VOLUMES: Mapping[str, Path] = {}


@dataclass
class RootFileSystem:
    """The file system of a stage."""

    folder: Path
    """An empty folder on a file system that supports overlays."""
    base: Path
    """The root file system of the base image, which is never written to."""
    working_directory: str = "/"
    environment: dict[str, str] = field(default_factory=lambda: dict(BASE_ENVIRONMENT))
    user: str = "0:0"

    def __post_init__(self) -> None:
        """Create the folders."""
        self.changes = self.folder / "changes"
        for name in ("root", "changes", "work"):
            (self.folder / name).mkdir(parents=True)

    def build(
        self,
        stage: Stage,
        context: Path,
        stages: Mapping[str, RootFileSystem],
        arguments: Mapping[str, str] = NOTHING,
    ) -> None:
        """Execute the instructions of `stage`. `arguments`: as given to `--build-arg`."""
        given = {}
        for instruction in stage.instructions:
            match instruction.name:
                case "ARG":
                    name, _, default = instruction.words[0].partition("=")
                    given[name] = arguments.get(name, default)
                case "WORKDIR":
                    self.working_directory = instruction.text
                    self.path(instruction.text).mkdir(parents=True, exist_ok=True)
                case "ENV":
                    self.environment |= Stage("", None, (instruction,)).environment
                case "USER":
                    self.user = instruction.text
                    self.environment["HOME"] = self._home()
                case "COPY":
                    self._copy(instruction, context, stages)
                case "RUN":
                    self._run_step(instruction.text, given)

    def command(
        self,
        words: Sequence[str],
        *,
        environment: Mapping[str, str] = NOTHING,
        volumes: Mapping[str, Path] = NO_VOLUMES,
        read_only: bool = False,
    ) -> list[str]:
        """A command line for this machine that runs `words` inside. When it ends, all its children end too.

        `volumes`: folder inside -> folder of this machine, mounted for reading and writing.
        """
        values = {**self.environment, **environment}
        inside = [
            *("chroot", f"--userspec={self.user}", "--groups=", str(self.folder / "root")),
            *("/usr/bin/env", "--ignore-environment", f"--chdir={self.working_directory}"),
            *(f"{name}={value}" for name, value in values.items()),
            *words,
        ]
        mounts = self._mounts(volumes, read_only=read_only)
        return [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"),
            *("sh", "-eu", "-c", "\n".join([*mounts, f"exec {shlex.join(inside)}"])),
        ]

    def run(
        self,
        words: Sequence[str],
        *,
        environment: Mapping[str, str] = NOTHING,
        volumes: Mapping[str, Path] = NO_VOLUMES,
        read_only: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run `words` until they end."""
        command = self.command(words, environment=environment, volumes=volumes, read_only=read_only)
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def path(self, inside: str) -> Path:
        """The path on this machine of a file inside that the stage itself created."""
        return self.changes / inside.lstrip("/")

    def volume(self, inside: str, folder: Path) -> Path:
        """A new volume at `folder` for a folder inside. It takes over its contents and owner."""
        subprocess.run(["/bin/cp", "-a", "-T", self.path(inside), folder], check=True)
        return folder

    def _home(self) -> str:
        number = self.user.partition(":")[0]
        users = [line.split(":") for line in self.path("/etc/passwd").read_text().splitlines()]
        return next(fields[5] for fields in users if fields[2] == number)

    def _run_step(self, script: str, arguments: Mapping[str, str]) -> None:
        packages = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        indexes = {place: Path(place) for place in packages.get("PIP_FIND_LINKS", "").split()}
        volumes = {place: folder for place, folder in indexes.items() if folder.is_dir()}
        done = self.run(["/bin/sh", "-c", script], environment={**packages, **arguments}, volumes=volumes)
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
            # files of another stage no longer change, so links to them are as good as copies
            link = ["--link"] if origin else []
            subprocess.run(["/bin/cp", "-a", *link, "-T", found, destination], check=True)
            if mode := copy.options.get("chmod"):
                destination.chmod(int(mode, 8))

    def _mounts(self, volumes: Mapping[str, Path], *, read_only: bool) -> list[str]:
        root, layers = self.folder / "root", f"lowerdir={self.base}"
        if read_only:  # several containers may not share an upper layer; mount points exist
            layers = f"lowerdir={self.changes}:{self.base}"
        else:
            layers += f",upperdir={self.changes},workdir={self.folder / 'work'}"
        lines = [f"mount -t overlay overlay {root} -o {layers}"]
        if not read_only:
            lines += [f"mkdir -p {root}{inside}" for inside in volumes]
        lines += [f"mount --bind {folder} {root}{inside}" for inside, folder in volumes.items()]
        if read_only:  # mounted like in Docker: nothing in it can be executed
            lines += [f"mount -t tmpfs -o noexec,nosuid,nodev,mode=1777,size=512m tmpfs {root}/tmp"]  # noqa: S108
        lines += [f"mount -t proc proc {root}/proc", f"mount --rbind /dev {root}/dev"]
        return lines
