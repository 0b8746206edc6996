"""If `make` cannot set up the project, one line says why and what to do."""

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
    sys.modules[spec.name] = module  # dataclasses look up their module
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
    """A program `python3` in `folder` that runs this Python but reports another version."""
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
def test_error_for_other_versions_names_the_supported_ones(tmp_path: Path, version: str) -> None:
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


def test_missing_python_is_a_one_line_error() -> None:
    done = shell("make_venv.sh", "/tmp/never-made", "/wrong/python3")  # noqa: S108
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("/wrong/python3 is no Python that can be run.")
    assert done.stderr.count("\n") == 1


def test_error_for_an_unwritable_environment_suggests_another_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = shell("make_venv.sh", str(tmp_path / "file" / "venv"), sys.executable)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Cannot make {tmp_path}/file/venv: Not a directory.")
    assert "make VENV=/path/to/venv" in done.stderr
    assert done.stderr.count("\n") == 1


def test_versions_of_the_makefile_are_those_of_the_package() -> None:
    """pip refuses the same versions as `find_python.sh`."""
    assert 'requires-python = ">=3.11,<3.14"' in (REPOSITORY / "pyproject.toml").read_text()


def test_unreachable_index_is_reported(tool: ModuleType) -> None:
    """Runs real pip with the last port of this machine as its index."""
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
def test_output_of_pip_becomes_a_reason(tool: ModuleType, said: str, reason: str) -> None:
    assert reason in tool.reason_of(said)
    assert "\n" not in tool.reason_of(said)


def test_too_small_disk_is_reported_before_any_download(tool: ModuleType, tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free // 1_000_000
    fits = tool.Step("a", (), "no_such_package", 0, max(0, free - 500))
    tool.check_space(fits, tmp_path)
    with pytest.raises(
        tool.CannotInstall, match=rf"{free + 500} MB are needed in {tmp_path}, and \d+ MB are free"
    ):
        tool.check_space(replace(fits, disk=free + 500), tmp_path)
    tool.check_space(replace(fits, disk=free + 500, largest="pytest"), tmp_path)  # already installed


@pytest.mark.parametrize(
    ("requirements", "for_gpus"),
    [
        (["filelock", 'nvidia-cudnn-cu13==9.20.0.48; platform_system == "Linux"'], True),
        (["filelock", 'cuda-toolkit[cublas]==13.0.3; platform_system == "Linux"'], True),
        (["filelock", 'triton; extra == "fast"'], False),
    ],
)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="other machines' builds bring nothing for GPUs")
def test_gpu_builds_are_recognised_by_their_dependencies(
    tool: ModuleType, requirements: list[str], for_gpus: bool
) -> None:
    report: dict[str, Any] = {"install": [{"metadata": {"requires_dist": requirements}}]}
    assert (tool.step_of(report) is tool.NEURAL_WITH_CUDA) == for_gpus
    assert tool.step_of({"install": []}) is tool.NEURAL  # already installed
    said = tool.WORD_ON_CUDA.format(step=tool.NEURAL_WITH_CUDA)
    assert f"{tool.NEURAL_WITH_CUDA.disk} MB" in said
    assert "NEURAL=0" in said
