"""What is said about getting more packages can be done: from this project's folder, not from an index."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path
from typing import get_args

import pytest

from sadtalker_service.extras import Extra, how_to_get, install_command

REPOSITORY = Path(__file__).resolve().parents[1]
NAME_ON_AN_INDEX = re.compile(r"pip3? install[^\n]*['\" ]sadtalker[-_]service\b")


def written() -> list[Path]:
    """Everything that a user may read: code with its messages, pages, files for deployment."""
    found = [
        path for folder in ("docs", "deploy", "tools", "src") for path in (REPOSITORY / folder).rglob("*")
    ]
    kinds = {".md", ".py", ".sh", ".html", ".js", ".yml", ".yaml"}
    named = [REPOSITORY / name for name in ("Makefile", "Dockerfile", "docker-compose.yml")]
    return [*named, *REPOSITORY.glob("*.md"), *(path for path in found if path.suffix in kinds)]


def test_nothing_tells_to_install_this_project_from_an_index() -> None:
    wrong = [path for path in written() if NAME_ON_AN_INDEX.search(path.read_text(errors="replace"))]
    assert wrong == []


@pytest.mark.parametrize("extra", get_args(Extra))
def test_command_for_an_extra_is_one_that_pip_takes_in_this_folder(extra: Extra) -> None:
    command = install_command(extra)
    assert command in how_to_get(extra)
    _, _, arguments = command.partition("pip ")
    assert extra in (metadata("sadtalker-service").get_all("Provides-Extra") or [])
    # pip reads all of it, then finds that it shall not look for what a build needs
    done = subprocess.run(
        [sys.executable, "-m", "pip", *shlex.split(arguments), "--dry-run", "--no-deps", "--no-index"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = done.stdout + done.stderr
    assert "does not provide the extra" not in complaints
    assert "no such option" not in complaints
    assert done.returncode == 0 or "hatchling" in complaints, complaints


def test_no_folder_of_this_machine_is_named() -> None:
    assert str(REPOSITORY) not in how_to_get("sadtalker")
    assert "sadtalker-service" not in how_to_get("sadtalker")
