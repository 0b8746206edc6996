"""What keeps `make` from setting up the project is said in a line, with what is to be done."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """`tools/install_packages.py`."""
    spec = importlib.util.spec_from_file_location(
        "install_packages", REPOSITORY / "tools/install_packages.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def shell(
    script: str, *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A script of tools/."""
    return subprocess.run(
        ["/bin/sh", str(REPOSITORY / "tools" / script), *arguments],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def python_of(folder: Path, version: str) -> Path:
    """A program `python3` in `folder`: this one, that says it is of another version."""
    program = folder / "python3"
    folder.mkdir()
    claim = f"import sys; sys.version_info = ({version}, 'final', 0); exec(sys.argv[1])"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{claim}" "$2"\n')
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("version", ["3, 11, 0", "3, 12, 9", "3, 13, 5"])
def test_supported_python_is_found(tmp_path: Path, version: str) -> None:
    program = python_of(tmp_path / "bin", version)
    assert shell("find_python.sh", env={"PATH": str(program.parent)}).stdout == "python3\n"
    assert shell("find_python.sh", str(program)).stdout == f"{program}\n"


@pytest.mark.parametrize("version", ["3, 10, 1", "3, 14, 0", "3, 15, 0"])
def test_other_versions_are_refused_with_those_that_work(tmp_path: Path, version: str) -> None:
    program = python_of(tmp_path / "bin", version)
    found = shell("find_python.sh", env={"PATH": str(program.parent)})
    given = shell("find_python.sh", str(program))
    number = version.replace(", ", ".")
    for done in (found, given):
        assert (done.returncode, done.stdout) == (1, "")
        assert "Python 3.11, 3.12 or 3.13" in done.stderr
        assert number in done.stderr
    assert "make PYTHON=/path/to/python3" in found.stderr
    assert given.stderr.count("\n") == 1


def test_python_that_is_not_there_is_one_line() -> None:
    done = shell("make_venv.sh", "/tmp/never-made", "/wrong/python3")  # noqa: S108
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("/wrong/python3 is no Python that can be run.")
    assert done.stderr.count("\n") == 1


def test_environment_that_cannot_be_made_names_another_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = shell("make_venv.sh", str(tmp_path / "file" / "venv"), sys.executable)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Cannot make {tmp_path}/file/venv: Not a directory.")
    assert "make VENV=/path/to/venv" in done.stderr
    assert done.stderr.count("\n") == 1


def test_versions_of_the_makefile_are_those_of_the_package() -> None:
    """pip refuses what `find_python.sh` refuses."""
    assert 'requires-python = ">=3.11,<3.14"' in (REPOSITORY / "pyproject.toml").read_text()


def test_index_out_of_reach_is_said_as_that(tool: ModuleType) -> None:
    """After real pip, with the last port of this machine as its index."""
    nowhere = ("--isolated", "--no-cache-dir", "--retries=1", "--index-url=http://127.0.0.1:9/simple")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *nowhere, "--no-deps", "--dest=/nowhere", "hatchling>1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = done.stdout + done.stderr
    assert done.returncode
    assert "the package index cannot be reached" in tool.reason_of(said)
    assert "HTTPS_PROXY" in tool.reason_of(said)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
            "no space",
        ),
        ("OSError: [Errno 30] Read-only file system: '/a'\n", "read-only"),
        (
            "WARNING: no\nERROR: Package 'x' requires a different Python: 3.14.0 not in '<3.14'\n",
            "different Python",
        ),
        ("", "without a reason"),
    ],
)
def test_pages_of_pip_become_a_reason(tool: ModuleType, said: str, reason: str) -> None:
    assert reason in tool.reason_of(said)
    assert "\n" not in tool.reason_of(said)


def test_disk_that_is_too_small_is_said_before_anything_is_fetched(tool: ModuleType, tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free // 1_000_000
    fits = tool.Step("a", (), "no_such_package", 0, max(0, free - 500))
    tool.check_space(fits, tmp_path)
    with pytest.raises(
        tool.CannotInstall, match=rf"{free + 500} MB are needed in {tmp_path}, and \d+ MB are free"
    ):
        tool.check_space(replace(fits, disk=free + 500), tmp_path)
    tool.check_space(replace(fits, disk=free + 500, largest="pytest"), tmp_path)  # it is installed already


@pytest.mark.parametrize(
    ("requirements", "for_gpus"),
    [
        (["filelock", 'nvidia-cudnn-cu13==9.20.0.48; platform_system == "Linux"'], True),
        (["filelock", 'cuda-toolkit[cublas]==13.0.3; platform_system == "Linux"'], True),
        (["filelock", 'triton; extra == "fast"'], False),
    ],
)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="other machines' builds bring nothing for GPUs")
def test_builds_for_gpus_are_known_by_what_they_bring(
    tool: ModuleType, requirements: list[str], for_gpus: bool
) -> None:
    report: dict[str, Any] = {"install": [{"metadata": {"requires_dist": requirements}}]}
    assert (tool.step_of(report) is tool.NEURAL_WITH_CUDA) == for_gpus
    assert tool.step_of({"install": []}) is tool.NEURAL  # it is installed already
    said = tool.WORD_ON_CUDA.format(step=tool.NEURAL_WITH_CUDA)
    assert f"{tool.NEURAL_WITH_CUDA.disk} MB" in said
    assert "NEURAL=0" in said
