"""One service per data folder: two would write to one queue's file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sadtalker_service.errors import StartFailed


@contextmanager
def only_service(folder: Path) -> Iterator[None]:
    """A block in which no other process is in such a block on `folder`.

    The system ends the lock with the process, however that ends. Raises `StartFailed`, which names the other.
    """
    with (folder / "serve.pid").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise StartFailed(
                f"The service runs already on this DATA_DIR (process {file.read().strip()})."
                " Stop that one, or choose another folder."
            ) from error
        except OSError as error:
            raise StartFailed(f"Cannot lock {file.name}: {error.strerror}.") from error
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
