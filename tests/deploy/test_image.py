"""What the Dockerfile says. test_image_built.py carries it out."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
from tests.support.dockerfile import read_dockerfile

from sadtalker_service.supervisor.listener import is_public

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD, FINAL = read_dockerfile(REPOSITORY / "Dockerfile")


def test_everything_that_is_copied_is_in_the_build_context() -> None:
    rules = [
        line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line and line[0] != "#"
    ]
    sources = [
        source
        for stage in (BUILD, FINAL)
        for copy in stage.all("COPY")
        if "from" not in copy.options
        for source in copy.operands[:-1]
    ]
    assert len(sources) > 5
    for source in sources:
        assert (REPOSITORY / source).exists()
        assert in_context(source, rules), f"{source} is in .dockerignore"
    for left_out in (".git", ".venv", "tests", "docs", "deploy/grafana", "src/x/__pycache__"):
        assert not in_context(left_out, rules)


def in_context(path: str, rules: list[str]) -> bool:
    """As Docker reads the rules: the last one that holds for the path, or for a folder that it lies in."""
    inside = True
    parts = Path(path).parts
    for rule in rules:
        pattern = rule.removeprefix("!").replace("**/", "*")
        if any(fnmatch("/".join(parts[:count]), pattern) for count in range(1, len(parts) + 1)):
            inside = rule.startswith("!")
    return inside


def test_final_stage_runs_as_somebody_without_rights_and_builds_nothing() -> None:
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", FINAL.last("USER").text)
    assert not any(re.search(r"(pip|apt-get|apt) install", run.text) for run in FINAL.all("RUN"))
    assert "curl" not in " ".join(FINAL.healthcheck)
    assert "/livez" in " ".join(FINAL.healthcheck)
    assert FINAL.last("CMD").words == ["sadtalker", "serve", "--host", "0.0.0.0"]  # noqa: S104


def test_both_stages_have_the_same_python_by_its_digest() -> None:
    assert BUILD.base == FINAL.base
    assert re.fullmatch(r"python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}", BUILD.base)


def test_image_is_open_to_all_until_somebody_says_otherwise() -> None:
    """So that `docker run --publish 8000:8000` without keys ends with a reason."""
    assert is_public(FINAL.environment["PUBLISH_ADDRESS"])


def test_kernels_are_made_and_used_for_a_processor_without_extensions() -> None:
    (warmup,) = (run.text for run in BUILD.all("RUN") if "warmup" in run.text)
    assert "NUMBA_CPU_NAME=generic" in warmup
    assert FINAL.environment["NUMBA_CPU_NAME"] == "generic"


@pytest.mark.parametrize(
    ("words", "told"), [(["TORCH=rocm"], "TORCH must be cpu or cuda, not rocm."), (["TORCH="], "pyproject")]
)
def test_torch_of_a_kind_that_is_not_known_ends_the_build(
    words: list[str], told: str, tmp_path: Path
) -> None:
    """With an empty value, the default, the script goes on to pip, which finds no package in this folder."""
    pip = tmp_path / "pip"
    pip.write_text('#!/bin/sh\necho "pyproject.toml is not here" >&2\nexit 1\n')
    pip.chmod(0o755)
    script = REPOSITORY / "deploy" / "docker" / "install-packages"
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", **dict(word.split("=") for word in words)}
    done = subprocess.run(
        [script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert told in done.stderr
