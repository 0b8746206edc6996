"""Run a speech program that is installed beside this service."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from sadtalker_service.errors import EngineUnavailable
from sadtalker_service.settings import bare_environment

_SECONDS = 60.0


def find_program(name: str) -> str | None:
    """Its path, or None."""
    return shutil.which(name)


def run_program(name: str, arguments: Sequence[str], text: str = "") -> bytes:
    """What the program writes to its output, given `text` as its input. Raises `EngineUnavailable`."""
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
