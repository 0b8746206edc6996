"""The real `docker compose` interprets the compose files as `tests.support.compose` does.

`docker compose config` needs no Docker engine. If the program is not installed, Debian's package is installed
into a separate root file system.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.base_system import missing_for_containers
from tests.support.compose import read_compose

REPOSITORY = Path(__file__).resolve().parents[2]
PLAIN = ("docker-compose.yml",)
GPU = ("docker-compose.yml", "compose.gpu.yml")
KEYS = '[{"name": "cluster", "key": "0123456789abcdef0123"}]'

Program = Callable[[Path, Sequence[str], Mapping[str, str]], "subprocess.CompletedProcess[str]"]
"""(project folder, arguments, environment variables) -> result."""


def _run_tool(
    words: Sequence[str], folder: Path, arguments: Sequence[str], variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return run([*words, *arguments], folder, variables)


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The program, on this machine or in a Debian root file system."""
    for words in (["docker", "compose"], ["docker-compose"]):
        words[0] = shutil.which(words[0]) or words[0]
        if Path(words[0]).is_file() and is_current(words):
            yield partial(_run_tool, words)
            return
    if reason := missing_for_containers():
        pytest.skip(reason)
    root = tmp_path_factory.mktemp("trixie") / "root"
    made = ["debootstrap", "--variant=minbase", "--include=docker-compose", "trixie", str(root)]
    subprocess.run(made, check=True, capture_output=True)

    def inside(folder: Path, arguments: Sequence[str], variables: Mapping[str, str]) -> Any:
        shutil.copytree(folder, root / "mnt", dirs_exist_ok=True)
        words = ["chroot", str(root), "env", "--chdir=/mnt", "docker-compose", *arguments]
        return run(words, folder, variables)

    yield inside
    shutil.rmtree(root)


def is_current(words: list[str]) -> bool:
    done = subprocess.run([*words, "version", "--short"], capture_output=True, text=True, check=False)
    return done.returncode == 0 and int(done.stdout.strip("v \n").split(".")[0]) >= 2


def run(words: list[str], folder: Path, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", **variables}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def config(compose: Program, folder: Path, files: Sequence[str], variables: Mapping[str, str]) -> Any:
    """Return the configuration as the program understands it, normalised."""
    given = [word for file in files for word in ("-f", file)]
    done = compose(folder, [*given, "--profile", "*", "config", "--format", "json"], variables)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for service in found["services"].values():  # a variable without a value is not set in the container
        set_there = service.get("environment") or {}
        service["environment"] = {name: value for name, value in set_there.items() if value is not None}
    return {name: value for name, value in found.items() if not name.startswith("x-")}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the compose files."""
    for name in GPU:
        shutil.copy(REPOSITORY / name, tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("files", [PLAIN, GPU], ids=["plain", "gpu"])
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"PUBLISH_ADDRESS": "0.0.0.0", "PUBLISH_PORT": "8001", "API_KEYS": KEYS},  # noqa: S104
        {"PUBLISH_ADDRESS": "[::1]", "CUDA_VISIBLE_DEVICES": "2", "ENGINE": "auto"},
        {"SADTALKER_CHECKPOINTS_URL": "https://mirror.example.org/sadtalker", "LOG_LEVEL": "debug"},
    ],
    ids=["defaults", "public", "second GPU", "mirror"],
)
def test_program_and_tests_interpret_the_files_alike(
    compose: Program, project: Path, files: Sequence[str], variables: dict[str, str]
) -> None:
    ours = read_compose([project / file for file in files], variables)
    (project / "ours.yml").write_text(yaml.safe_dump(ours).replace("$", "$$"))
    assert config(compose, project, files, variables) == config(compose, project, ["ours.yml"], {})


@pytest.mark.slow
@pytest.mark.parametrize("address", ["localhost", "everywhere", "::1"])
def test_program_refuses_an_invalid_publish_address(compose: Program, project: Path, address: str) -> None:
    """An engine that accepts such a word may publish on all addresses."""
    done = compose(project, ["-f", PLAIN[0], "config", "--quiet"], {"PUBLISH_ADDRESS": address})
    assert done.returncode != 0
    assert "invalid" in done.stderr.lower()
    assert address in done.stderr
