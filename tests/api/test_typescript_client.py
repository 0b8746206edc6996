"""A TypeScript client is generated from the OpenAPI document, type-checked, built and used.

The types of the browser avatar are checked with it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from tests.support.running_api import VIDEO, RunningApi, audio_bytes, image_bytes

import sadtalker_service

SOURCES = Path(__file__).with_name("typescript")
AVATAR_TYPES = Path(sadtalker_service.__file__).parent / "api" / "studio" / "sadtalker-avatar.d.ts"
REGISTRY_SECONDS = 5


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=240)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The sources with their packages, as the lock file has them."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed (Debian: apt install nodejs npm)")
    registry = run(tmp_path, "npm", "config", "get", "registry").stdout.strip()
    try:
        httpx.get(registry, timeout=REGISTRY_SECONDS)
    except httpx.HTTPError:
        pytest.skip("the npm registry cannot be reached from this machine")
    shutil.copytree(SOURCES, tmp_path / "client")
    shutil.copy(AVATAR_TYPES, tmp_path / "client")
    done = run(tmp_path / "client", "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
    assert done.returncode == 0, done.stderr
    return tmp_path / "client"


@pytest.mark.slow
def test_typescript_client_is_built_and_makes_a_video(api: RunningApi, project: Path) -> None:
    (project / "openapi.json").write_text(json.dumps(api.app.openapi()))
    generator = ("node_modules/.bin/openapi-typescript", "openapi.json", "--default-non-nullable=false")
    done = run(project, *generator, "-o", "api.d.ts")
    assert done.returncode == 0, done.stderr
    compiler = ("node_modules/.bin/tsc", "-p", ".")
    done = run(project, *compiler)
    assert done.returncode == 0, done.stdout

    (project / "me.png").write_bytes(image_bytes())
    (project / "hello.wav").write_bytes(audio_bytes())
    command = ["node", "use.mjs", api.url, "me.png", "hello.wav"]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline().strip() == "not_found"
        api.make(program.stdout.readline().strip())
        assert program.stdout.readline().split() == ["ready", str(len(VIDEO))]
        assert program.wait(60) == 0

    client = project / "client.ts"
    client.write_text(client.read_text().replace('quality: "high"', 'quality: "highest"'))
    refused = run(project, *compiler)
    assert refused.returncode != 0
    assert "highest" in refused.stdout
