"""How to get the packages that are not installed by default, in words for a message.

This project is on no package index. A command that names it would make pip look there, and take whatever
a stranger had put under the name: messages give the command for the project's own folder.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

Extra = Literal["sadtalker", "enhance", "captions", "webrtc"]
"""A name under `[project.optional-dependencies]`."""

_CHECKOUT = Path(__file__).resolve().parents[2]


def install_command(extra: Extra) -> str:
    """The command that installs an extra, for the project's folder; it names no folder of this machine."""
    pip = ".venv/bin/pip" if Path(sys.prefix) == _CHECKOUT / ".venv" else "python -m pip"
    return f"{pip} install -c constraints.txt -e '.[{extra}]'"


def how_to_get(extra: Extra) -> str:
    """A sentence with the command that installs an extra."""
    return f"Get it with, in the folder of this project: {install_command(extra)}"
