"""What the Dockerfile says can be built and run; in place of Docker by `tests.support.container`.

Not checked: that the base image exists and holds what this machine's system and Python hold too.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import av
import httpx
import pytest
from tests.support.container import RootFileSystem, missing_for_containers
from tests.support.dockerfile import Stage, read_dockerfile

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD, FINAL = read_dockerfile(REPOSITORY / "Dockerfile")
START_SECONDS = 90


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
    assert not any("pip" in run.text or "apt" in run.text for run in FINAL.all("RUN"))
    assert "curl" not in " ".join(FINAL.healthcheck)
    assert "/livez" in " ".join(FINAL.healthcheck)
    assert FINAL.last("CMD").words == ["sadtalker", "serve", "--host", "0.0.0.0"]  # noqa: S104


def test_both_stages_have_the_same_python() -> None:
    assert BUILD.base == FINAL.base
    assert re.fullmatch(r"python:3\.1\d-slim-\w+", BUILD.base)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RootFileSystem]:
    """The final stage, built: some 700 MB of packages."""
    if reason := missing_for_containers():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("image")
    stages: dict[str, RootFileSystem] = {}
    made = {name: RootFileSystem(folder / name) for name in ("build", "final")}
    for stage, name in ((BUILD, "build"), (FINAL, "final")):
        made[name].build(stage, REPOSITORY, stages)
        stages[stage.name or name] = made[name]
    yield made["final"]
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_image_holds_no_tools_to_build_with(image: RootFileSystem) -> None:
    looked = image.run(["python", "-c", "import pip"])
    assert "No module named 'pip'" in looked.stderr
    assert not list(image.path("/opt/sadtalker/bin").glob("pip*"))
    assert not image.path("/build/src").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kernels_of_the_build_are_used_where_nothing_can_be_written(image: RootFileSystem) -> None:
    count = "find $NUMBA_CACHE_DIR -type f | wc -l"
    script = f"touch /opt/x 2>/dev/null && exit 9; {count}; sadtalker warmup >&2; {count}"
    done = image.run([*entry(FINAL), "sh", "-c", script], read_only=True)
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert before == after > 20, "kernels were compiled again"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_image_serves_a_video_with_a_read_only_root_and_stops_when_told(
    image: RootFileSystem, tmp_path: Path
) -> None:
    with running(image) as url:
        assert healthy(image, url)
        video = tmp_path / "talking.mp4"
        video.write_bytes(make_video(url))
        with av.open(str(video)) as container:
            assert sum(1 for _ in container.decode(video=0)) > 25
    assert not healthy(image, url)


def entry(stage: Stage) -> list[str]:
    return stage.last("ENTRYPOINT").words


@contextmanager
def running(image: RootFileSystem) -> Iterator[str]:
    """The image's own command with a read-only root, on a free port. Ends it as `docker stop` does."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    words = [*entry(FINAL), *FINAL.last("CMD").words]
    command = image.command(words, environment={"PORT": str(port)}, read_only=True)
    with subprocess.Popen(command) as process:
        try:
            wait_until_ready(url, process)
            yield url
            (inner,) = children(process.pid)
            os.kill(inner, signal.SIGTERM)
            assert process.wait(90) == 0
        finally:
            if process.poll() is None:
                process.kill()


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, "the command has ended"
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.3)
    raise AssertionError(f"not ready after {START_SECONDS} s")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def healthy(image: RootFileSystem, url: str) -> bool:
    """What the HEALTHCHECK says."""
    port = url.rpartition(":")[2]
    return image.run(FINAL.healthcheck, environment={"PORT": port}, read_only=True).returncode == 0


def make_video(url: str) -> bytes:
    """The example portrait speaks the example recording."""
    examples = REPOSITORY / "examples"
    with httpx.Client(base_url=url, timeout=60) as client:
        upload = client.post(
            "/api/avatar/upload", files={"image_file": (examples / "portrait.jpg").read_bytes()}
        )
        answer = client.post(
            "/api/vip/generate",
            data={"image_id": upload.raise_for_status().json()["image_id"]},
            files={"audio_file": ("speech.wav", (examples / "speech.wav").read_bytes())},
        )
        session = answer.raise_for_status().json()
        until = time.monotonic() + 120
        while (state := client.get(session["links"]["status"]).json())["status"] in ("queued", "generating"):
            assert time.monotonic() < until
            time.sleep(0.3)
        assert state["status"] == "ready", state
        return client.get(state["download_url"]).raise_for_status().content
