"""Allow one service per data folder, because two would write to the same queue file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sadtalker_service.errors import StartFailed


@contextmanager
def only_service(folder: Path) -> Iterator[None]:
    """Context manager that locks `folder` against other services.

    The system releases the lock when the process ends, for whatever reason. Raises `StartFailed`, naming the
    other process.
    """
    with (folder / "serve.pid").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise StartFailed(
                f"The service is already running on this DATA_DIR (process {file.read().strip()})."
                " Stop it, or choose another folder."
            ) from error
        except OSError as error:
            raise StartFailed(f"Cannot lock {file.name}: {error.strerror}.") from error
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
