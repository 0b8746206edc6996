"""Read the Dockerfile, so that tests run its real commands and not a copy."""

from __future__ import annotations

import json
import re
import shlex
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """A line of the Dockerfile, with continued lines joined."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its arguments, in the JSON form or in the shell form."""
        if self.text.startswith("["):
            found: list[str] = json.loads(self.text)
            return found
        return shlex.split(self.text)

    @property
    def options(self) -> dict[str, str]:
        """`--from=build` as {"from": "build"}."""
        found = re.findall(r"--(\w[\w-]*)=(\S+)", self.text)
        return dict(found)

    @property
    def operands(self) -> list[str]:
        """The arguments that are not options."""
        return [word for word in self.words if not word.startswith("--")]


@dataclass(frozen=True)
class Stage:
    """The instructions between two `FROM`s."""

    base: str
    name: str | None
    instructions: tuple[Instruction, ...]

    def all(self, name: str) -> list[Instruction]:
        """The instructions called `name`, in order."""
        return [instruction for instruction in self.instructions if instruction.name == name]

    def last(self, name: str) -> Instruction:
        """The last instruction called `name`, which is the effective one."""
        return self.all(name)[-1]

    @property
    def environment(self) -> dict[str, str]:
        """All variables set by `ENV`."""
        words = [word for found in self.all("ENV") for word in found.words]
        return {name: value for name, _, value in (word.partition("=") for word in words)}

    @property
    def healthcheck(self) -> list[str]:
        """Its command."""
        command: list[str] = json.loads(self.last("HEALTHCHECK").text.partition("CMD ")[2])
        return command


def read_dockerfile(path: Path) -> list[Stage]:
    """The stages in order. Their base images use the defaults of the arguments before the first `FROM`."""
    stages: list[tuple[list[str], list[Instruction]]] = []
    arguments: dict[str, str] = {}
    for instruction in _instructions(path.read_text()):
        if instruction.name == "FROM":
            words = [string.Template(word).substitute(arguments) for word in instruction.words]
            stages.append((words, []))
        elif stages:
            stages[-1][1].append(instruction)
        else:
            name, _, default = instruction.words[0].partition("=")
            arguments[name] = default
    return [
        Stage(words[0], words[2] if len(words) > 2 else None, tuple(instructions))
        for words, instructions in stages
    ]


def _instructions(text: str) -> Iterator[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for joined in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, rest = joined.strip().partition(" ")
        yield Instruction(name, rest.strip())
