"""Checks of the Dockerfile's text. test_image_built.py executes it."""

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


def test_copied_files_are_in_the_build_context() -> None:
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
    """Apply the rules as Docker does: the last rule that matches the path or one of its parents decides."""
    inside = True
    parts = Path(path).parts
    for rule in rules:
        pattern = rule.removeprefix("!").replace("**/", "*")
        if any(fnmatch("/".join(parts[:count]), pattern) for count in range(1, len(parts) + 1)):
            inside = rule.startswith("!")
    return inside


def test_final_stage_runs_without_root_and_builds_nothing() -> None:
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", FINAL.last("USER").text)
    everything = " ".join(run.text for run in FINAL.all("RUN"))
    only_for_gpus = r'if \[ "\$TORCH" = cuda \]; then .*?install .*? gcc libc6-dev .*?;\s*else'
    elsewhere, count = re.subn(only_for_gpus, "", everything, flags=re.DOTALL)
    assert count == 1
    assert not re.search(r"\b(pip|apt-get|apt)\b[^;&]* install", elsewhere)
    assert "curl" not in " ".join(FINAL.healthcheck)
    assert "/livez" in " ".join(FINAL.healthcheck)
    assert FINAL.last("CMD").words == ["sadtalker", "serve", "--host", "0.0.0.0"]  # noqa: S104


def test_both_stages_have_the_same_python_by_its_digest() -> None:
    assert BUILD.base == FINAL.base
    assert re.fullmatch(r"python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}", BUILD.base)


def test_image_assumes_a_public_address_by_default() -> None:
    """Then `docker run --publish 8000:8000` without keys exits with an error message."""
    assert is_public(FINAL.environment["PUBLISH_ADDRESS"])


def test_kernels_are_compiled_and_used_for_a_generic_processor() -> None:
    (warmup,) = (run.text for run in BUILD.all("RUN") if "warmup" in run.text)
    assert "NUMBA_CPU_NAME=generic" in warmup
    assert FINAL.environment["NUMBA_CPU_NAME"] == "generic"


@pytest.mark.parametrize(
    ("words", "message"),
    [(["TORCH=rocm"], "TORCH must be cpu or cuda, not rocm."), (["TORCH="], "pyproject")],
)
def test_unknown_kind_of_torch_fails_the_build(words: list[str], message: str, tmp_path: Path) -> None:
    """An empty value, the default, lets the script continue to pip, which finds no package in this folder."""
    pip = tmp_path / "pip"
    pip.write_text('#!/bin/sh\necho "pyproject.toml is not here" >&2\nexit 1\n')
    pip.chmod(0o755)
    script = REPOSITORY / "deploy" / "docker" / "install-packages"
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", **dict(word.split("=") for word in words)}
    done = subprocess.run(
        [script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert message in done.stderr
