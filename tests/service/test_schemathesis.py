"""The running service matches its OpenAPI document. For any allowed request, the response and its status are
documented, and the status is never 500 or above."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
from tests.support import bad_media as bad
from tests.support.running_service import RunningService, until

EXAMPLES = 12
"""Generated cases per operation and phase."""

# Images and audio are described only as bytes, so most generated ones are rightly refused with 400.
# DELETE /api/avatar/upload refers to a source image called "upload", which does not exist: 404, not 405.
CONFIG = """
[checks]
positive_data_acceptance.enabled = false

[[operations]]
include-name = "POST /api/avatar/upload"
checks.unsupported_method.enabled = false

# Speaking thousands of characters takes long, and tests/api/test_speech.py looks at the limits.
[[operations]]
include-name = "POST /v1/audio/speech"
request-timeout = 60
phases.coverage.enabled = false
phases.fuzzing.generation.max-examples = 4

[[operations]]
include-method = "GET"
parameters = {{ image_id = "{image_id}", session_id = "{session_id}", lane = "vip", name = "smile" }}
"""


def a_video(url: str) -> dict[str, str]:
    """Ids of a source image and of a ready session, so that reading operations find something."""
    with httpx.Client(base_url=url, timeout=60) as client:
        upload = client.post("/api/avatar/upload", files={"image_file": ("me.jpg", bad.SOURCE_IMAGE)})
        image_id = upload.raise_for_status().json()["image_id"]
        fields = {"image_id": image_id, "enhancer": "none", "preprocess_mode": "crop", "size": "256"}
        files = {"audio_file": ("a.wav", bad.wav(0.3))}
        session = client.post("/api/vip/generate", data=fields, files=files).raise_for_status().json()
        until(lambda: client.get(session["links"]["status"]).json()["status"] == "ready", "the video", 120)
    return {"image_id": image_id, "session_id": session["session_id"]}


def test_service_matches_its_document(service: RunningService, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.format(**a_video(service.url)))
    report = tmp_path / "report.json"
    program = str(Path(sys.executable).with_name("schemathesis"))
    done = subprocess.run(
        [
            *(program, "--config-file", str(config), "run", f"{service.url}/openapi.json"),
            *("--max-examples", str(EXAMPLES), "--seed", "1", "--generation-database", "none", "--no-color"),
            *("--request-timeout", "20", "--report-json-path", str(report), "--no-shrink"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    operations = httpx.get(f"{service.url}/openapi.json").json()["paths"].values()
    count = sum(len(methods) for methods in operations)
    assert f"Tested: {count}" in done.stdout
    assert json.loads(report.read_text())
    assert httpx.get(f"{service.url}/readyz").status_code == 200
