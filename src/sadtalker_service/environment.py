"""The environment of this process and of its children. Settings are read in `settings.py`."""

from __future__ import annotations

import os
from collections.abc import Mapping


def set_environment(values: Mapping[str, str]) -> None:
    """Set environment variables of this process, for its children and for libraries that read them."""
    os.environ.update(values)


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a trusted child process: this process's environment plus `extra`."""
    return {**os.environ, **extra}


def worker_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a worker, which reads untrusted uploads: without the API's own secrets."""
    return {
        name: value for name, value in child_environment(extra).items() if name.upper() not in _OF_THE_API
    }


def bare_environment() -> dict[str, str]:
    """Return the environment for a child process that decodes untrusted uploads and needs no settings: only
    what programs and libraries need to be found and to work, no secret, no address."""
    return {
        name: value for name, value in os.environ.items() if name in _BARE or name.startswith(_BARE_PREFIXES)
    }


_OF_THE_API = frozenset({"API_KEYS", "API_KEYS_FILE", "WEBHOOK_SECRET"})
_BARE = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP"),
        *("VIRTUAL_ENV", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "SYSTEMROOT"),
    }
)
_BARE_PREFIXES = ("LC_", "PYTHON", "OMP_", "MKL_", "OPENBLAS_", "NUMBA_", "MALLOC_", "COVERAGE_", "COV_CORE_")
