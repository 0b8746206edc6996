"""The models that run are the ones that were shipped."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sadtalker_service.faces
from sadtalker_service.errors import EngineUnavailable
from sadtalker_service.faces import networks

MODELS = Path(sadtalker_service.faces.__file__).parent / "models"


def test_shipped_files_are_those_that_their_origin_names() -> None:
    origin = json.loads((MODELS / "ORIGIN.json").read_text())
    assert origin["licence"] == "Apache-2.0"
    for name, facts in origin["files"].items():
        assert hashlib.sha256((MODELS / name).read_bytes()).hexdigest() == facts["sha256"]
    licence = (MODELS / "LICENSE").read_bytes()
    assert hashlib.sha256(licence).hexdigest() == origin["sources"]["licence"]["sha256"]


def test_damaged_models_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(MODELS, tmp_path / "models")
    container = tmp_path / "models" / networks.CONTAINER
    data = bytearray(container.read_bytes())
    data[len(data) // 2] ^= 1
    container.write_bytes(data)
    monkeypatch.setattr(networks, "files", lambda _: tmp_path)
    with pytest.raises(EngineUnavailable, match="Install the package again"):
        networks.load_networks("short_range")


def test_networks_run_without_telling_anybody(tmp_path: Path) -> None:
    """onnxruntime as it comes makes a number for this machine below the home folder, to report under."""
    program = "from sadtalker_service.faces.networks import load_networks; load_networks('short_range')"
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    homes = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", program], env=kept | homes, check=True)
    assert list(tmp_path.rglob("*")) == []
