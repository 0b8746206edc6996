"""Run commands exactly as a document shows them, by bash with real curl and jq, against the test's service.

The documents use `localhost:8000` or `127.0.0.1:8000`. Curl's own settings file redirects these addresses to
the test's service, so the commands run unchanged.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

PROGRAMS = ("bash", "curl", "jq")


class Shell:
    """A folder in which commands run. Each call is a new shell."""

    def __init__(self, folder: Path, url: str) -> None:
        """`url` is the URL of the service."""
        missing = [program for program in PROGRAMS if shutil.which(program) is None]
        if missing:
            pytest.skip(f"not installed, and `.ci/run` could not: {', '.join(missing)}")
        self.folder = folder
        address = urlsplit(url)
        here = f"{address.hostname}:{address.port}"
        lines = [f'connect-to = "{name}:8000:{here}"' for name in ("localhost", "127.0.0.1")]
        lines.append("max-time = 120")
        (folder / ".curlrc").write_text("\n".join(lines) + "\n")

    def run(self, script: str, variables: Mapping[str, str] | None = None) -> str:
        """The output of `script`, which must succeed."""
        quiet = {"CURL_HOME": str(self.folder), "HOME": str(self.folder), **(variables or {})}
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env={**os.environ, **quiet},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout
