"""A supervisor over small programs: `python supervised.py FOLDER '[[{"name": ..., "code": ...}], ...]' NICE`.

It runs at a priority NICE steps below the one it was started with.

A child's `code` is Python. It is ready once it has created the file FOLDER/{name}.ready with its pid. When it
ends cleanly, it must append a line to FOLDER/order.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from sadtalker_service.environment import child_environment
from sadtalker_service.errors import SadTalkerError
from sadtalker_service.supervisor.child import ChildSpec
from sadtalker_service.supervisor.supervisor import Supervisor

PRELUDE = """
import os, signal, subprocess, sys, time
from pathlib import Path
folder, name = Path(sys.argv[1]), sys.argv[2]

def ready():
    unfinished = folder / f".{name}.ready"
    unfinished.write_text(str(os.getpid()))
    unfinished.rename(folder / f"{name}.ready")

def leave(*_):
    with (folder / "order").open("a") as file:
        file.write(name + "\\n")
    sys.exit(0)

signal.signal(signal.SIGTERM, leave)
with (folder / "starts").open("a") as file:
    file.write(name + "\\n")
"""


def spec(folder: Path, name: str, code: str, grace: float = 5.0, nice: int = 0) -> ChildSpec:
    ready = folder / f"{name}.ready"
    return ChildSpec(
        name=name,
        argv=(sys.executable, "-c", PRELUDE + code, str(folder), name),
        env=child_environment({}),
        ready=ready.exists,
        prepare=partial(ready.unlink, missing_ok=True),
        grace=grace,
        nice=nice,
    )


def main(folder: Path, stages: list[list[dict[str, Any]]]) -> int:
    """0 if it was stopped, otherwise the exit code that the command would have."""
    try:
        Supervisor(
            [[spec(folder, **child) for child in stage] for stage in stages],
            lambda name: click.echo(f"ready {name}"),
        ).run()
    except SadTalkerError as error:
        click.echo(error.message, err=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    os.nice(int(sys.argv[3]))
    sys.exit(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
