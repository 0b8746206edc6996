"""What every test run needs: kernels compiled from the present source, programs that can be interrupted."""

from __future__ import annotations

import signal
from pathlib import Path

import sadtalker_service

MESH = Path(sadtalker_service.__file__).parent / "engines" / "mesh"


def pytest_sessionstart() -> None:
    """Prepare both."""
    # a run in the background inherits that interrupts are ignored, and so would the programs that tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _forget_stale_kernels()


def _forget_stale_kernels() -> None:
    """Remove cached machine code that is older than a source it was made from.

    numba compiles a kernel anew when the kernel's own file changes, not when one that it calls or a constant
    that it takes from another file does.
    """
    cached = [*(MESH / "kernels" / "__pycache__").glob("*.nbi")]
    sources = [*(MESH / "kernels").glob("*.py"), MESH / "channels.py"]
    newest = max(path.stat().st_mtime for path in sources)
    if any(path.stat().st_mtime < newest for path in cached):
        for path in cached:
            path.unlink(missing_ok=True)
