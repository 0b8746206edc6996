"""Run a speech program that is installed beside this service."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from sadtalker_service.environment import bare_environment
from sadtalker_service.errors import EngineUnavailable

_SECONDS = 60.0


def find_program(name: str) -> str | None:
    """Its path, or None."""
    return shutil.which(name)


def run_program(name: str, arguments: Sequence[str], text: str = "") -> bytes:
    """Run the program with `text` as its input, and return its output. Raises `EngineUnavailable`."""
    path = find_program(name)
    if path is None:
        raise EngineUnavailable(f"The program {name} is not installed here.", param="voice")
    try:
        done = subprocess.run(  # noqa: S603  a program of this machine; the text is its input, not an argument
            [path, *arguments],
            input=text.encode(),
            capture_output=True,
            check=True,
            timeout=_SECONDS,
            env=bare_environment(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineUnavailable(
            f"The program {name} failed: {type(error).__name__}.", param="voice"
        ) from error
    return done.stdout
