"""The Dockerfile can be built and run, plain and with the neural engine.

`tests.support.container` replaces Docker. Not checked: that the base image exists and contains what
`tests.support.base_system` provides instead.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import time
import wave
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import av
import httpx
import pytest
import yaml
from tests.support.base_system import install_base_system, missing_for_containers
from tests.support.container import RootFileSystem
from tests.support.dockerfile import Stage, read_dockerfile
from tests.support.sadtalker_weights import MAPPING, write_mapping, write_networks

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD, FINAL = read_dockerfile(REPOSITORY / "Dockerfile")
SERVICES = yaml.safe_load((REPOSITORY / "compose.gpu.yml").read_text())["services"]
START_SECONDS = 180
VIDEO_SECONDS = 600
"""A frame of the neural engine takes seconds on a CPU."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh Debian system instead of the base image."""
    if reason := missing_for_containers():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("base") / "root"
    install_base_system(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def plain(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RootFileSystem]:
    """`docker build .`: about 700 MB of packages."""
    with built(base, tmp_path_factory.mktemp("plain"), {}) as image:
        yield image


@pytest.fixture(scope="module")
def neural(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RootFileSystem]:
    """`docker build --build-arg EXTRAS=sadtalker .`: torch for the CPU, another 700 MB."""
    with built(base, tmp_path_factory.mktemp("neural"), {"EXTRAS": "sadtalker"}) as image:
        yield image


@pytest.fixture(params=["plain", "neural"])
def image(request: pytest.FixtureRequest) -> RootFileSystem:
    """The plain and the neural image."""
    made: RootFileSystem = request.getfixturevalue(request.param)
    return made


@contextmanager
def built(base: Path, folder: Path, arguments: Mapping[str, str]) -> Iterator[RootFileSystem]:
    """Build the image and return its final stage."""
    stages: dict[str, RootFileSystem] = {}
    for stage, name in ((BUILD, "build"), (FINAL, "final")):
        made = RootFileSystem(folder / name, base)
        made.build(stage, REPOSITORY, stages, arguments)
        stages[stage.name or name] = made
    shutil.rmtree(folder / "build")  # the final stage has hard links to its files
    yield made
    shutil.rmtree(folder)


def test_image_contains_no_build_tools(image: RootFileSystem) -> None:
    tools = "gcc cc g++ c++ clang ld as make cmake ninja git cargo rustc go pip pip3 uv conda curl wget"
    programs = f"for tool in {tools}; do command -v $tool; done; true"
    assert image.run(["sh", "-c", programs]).stdout == ""
    for python in ("/opt/sadtalker/bin/python", "/usr/local/bin/python"):
        for module in ("pip", "setuptools", "ensurepip"):
            assert f"No module named '{module}'" in image.run([python, "-c", f"import {module}"]).stderr
    left = "-name '*.whl' -o -name '*.deb' -o -name Python.h -o -path '*/.cache/*'"
    places = "/opt /usr/local /root /home /var /tmp /data"
    found = image.run(["sh", "-c", f"find {places} {left} 2>/dev/null"], environment={})
    assert found.stdout == ""
    assert image.run(["ls", "/build"]).returncode != 0


def test_size_of_the_image(image: RootFileSystem, capsys: pytest.CaptureFixture[str]) -> None:
    """Print the size for docs/operations.md. A GPU build by mistake would be five times as large."""
    sizes = {name: megabytes(image.path(name)) for name in ("/opt/sadtalker", "/opt/kernels")}
    sizes |= {"base": megabytes(image.base), "all that the stages add": megabytes(image.changes)}
    with capsys.disabled():
        print(f"\n{image.folder.parent.name}: {sizes} MB")  # noqa: T201 - the result
    assert sizes["all that the stages add"] < 2_000


def megabytes(folder: Path) -> int:
    """Return the size on disk in 1e6 bytes; hard links count once."""
    done = subprocess.run(
        ["/usr/bin/du", "-s", "-B", "1", folder], capture_output=True, text=True, check=True
    )
    return round(int(done.stdout.split()[0]) / 1e6)


@pytest.mark.parametrize("processor", ["this one", "Nehalem", "Haswell"])
def test_compiled_kernels_are_used_on_any_processor_with_a_read_only_root(
    image: RootFileSystem, processor: str, tmp_path: Path
) -> None:
    """Nehalem has no AVX: code for a newer processor would crash there with an illegal instruction."""
    command = "sadtalker warmup --engine mesh"
    if processor != "this one":
        emulator = shutil.which("qemu-x86_64-static")
        if emulator is None:
            pytest.skip("needs qemu-x86_64-static; apt-get install qemu-user-static")
        shutil.copy(emulator, tmp_path / "qemu")
        command = (
            f"/mnt/qemu -cpu {processor} /opt/sadtalker/bin/python -m sadtalker_service warmup --engine mesh"
        )
    tmp_path.chmod(0o755)
    count = "find $NUMBA_CACHE_DIR -type f | wc -l"
    script = f"touch /opt/x 2>/dev/null && exit 9; {count}; {command} >&2; {count}"
    words = [*entry(FINAL), "sh", "-ec", script.replace("&& exit 9;", "&& exit 9 || true;")]
    done = image.run(words, volumes={"/mnt": tmp_path}, read_only=True)
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert before == after > 20, "kernels were compiled again"


def test_image_serves_a_video_with_a_read_only_root_and_stops_on_sigterm(
    plain: RootFileSystem, tmp_path: Path
) -> None:
    volumes = {"/data": plain.volume("/data", tmp_path / "data")}
    with running(plain, volumes, {"PUBLISH_ADDRESS": "127.0.0.1"}) as url:
        assert healthy(plain, url)
        video = tmp_path / "talking.mp4"
        video.write_bytes(make_video(url))
        with av.open(str(video)) as container:
            assert sum(1 for _ in container.decode(video=0)) > 25
    assert not healthy(plain, url)


def test_published_image_without_keys_exits_with_a_message(plain: RootFileSystem, tmp_path: Path) -> None:
    volumes = {"/data": plain.volume("/data", tmp_path / "data")}
    done = plain.run([*entry(FINAL), *FINAL.last("CMD").words], volumes=volumes, read_only=True)
    assert done.returncode == 3
    assert "published on 0.0.0.0" in done.stderr.splitlines()[-1]


def test_image_with_extras_runs_the_neural_engine_with_an_inference_server(
    neural: RootFileSystem, tmp_path: Path
) -> None:
    """As in compose.gpu.yml, but on a CPU: two containers share the socket and the checkpoints."""
    volumes = {
        place: neural.volume(place, tmp_path / Path(place).name)
        for place in ("/data", "/checkpoints", "/run/sadtalker")
    }
    write_checkpoints(volumes["/checkpoints"])
    words = SERVICES["inference"]["command"]
    environment = {"ENGINE": "sadtalker", "SADTALKER_DEVICE": "cpu"}
    shared = neural.command([*entry(FINAL), *words], environment=environment, volumes=volumes, read_only=True)
    with subprocess.Popen(shared) as server:
        try:
            wait_for_health(neural, SERVICES["inference"]["healthcheck"]["test"][1:], volumes)
            socket_path = SERVICES["worker"]["environment"]["SADTALKER_INFERENCE"]
            told = {**environment, "SADTALKER_INFERENCE": socket_path, "PUBLISH_ADDRESS": "127.0.0.1"}
            with running(neural, volumes, told) as url:
                video = tmp_path / "talking.mp4"
                video.write_bytes(make_video(url, seconds=0.16, engine="sadtalker"))
        finally:
            for inner in children(server.pid):  # ends everything in the container
                os.kill(inner, signal.SIGKILL)
            server.kill()
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 4


def write_checkpoints(folder: Path) -> None:
    """Write synthetic checkpoints in the published format."""
    write_networks(folder / "SadTalker_V0.0.2_256.safetensors")
    for coefficients, stem in MAPPING.items():
        write_mapping(folder / f"{stem}-model.pth.tar", coefficients)
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors writes 0600, and the user in the container is another one


def wait_for_health(image: RootFileSystem, test: list[str], volumes: Mapping[str, Path]) -> None:
    until = time.monotonic() + START_SECONDS
    while image.run(test, volumes=volumes, read_only=True).returncode != 0:
        assert time.monotonic() < until, "the inference server does not become healthy"


def entry(stage: Stage) -> list[str]:
    return stage.last("ENTRYPOINT").words


@contextmanager
def running(
    image: RootFileSystem, volumes: Mapping[str, Path], environment: Mapping[str, str]
) -> Iterator[str]:
    """Context manager that runs the image's command with a read-only root on a free port, and stops it as
    `docker stop` does."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    words = [*entry(FINAL), *FINAL.last("CMD").words]
    told = {"PORT": str(port), **environment}
    command = image.command(words, environment=told, volumes=volumes, read_only=True)
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
    """Return the result of the HEALTHCHECK."""
    port = url.rpartition(":")[2]
    return image.run(FINAL.healthcheck, environment={"PORT": port}, read_only=True).returncode == 0


def make_video(url: str, seconds: float | None = None, engine: str | None = None) -> bytes:
    """Make a video of the example source image and the example audio, or its first `seconds`."""
    examples = REPOSITORY / "examples"
    recording = (examples / "speech.wav").read_bytes()
    if seconds is not None:
        recording = beginning(recording, seconds)
    options = {"engine": engine} if engine else {}
    with httpx.Client(base_url=url, timeout=60) as client:
        upload = client.post(
            "/api/avatar/upload", files={"image_file": (examples / "portrait.jpg").read_bytes()}
        )
        answer = client.post(
            "/api/vip/generate",
            data={"image_id": upload.raise_for_status().json()["image_id"], **options},
            files={"audio_file": ("speech.wav", recording)},
        )
        session = answer.raise_for_status().json()
        until = time.monotonic() + VIDEO_SECONDS
        while (state := client.get(session["links"]["status"]).json())["status"] in ("queued", "generating"):
            assert time.monotonic() < until
            time.sleep(0.3)
        assert state["status"] == "ready", state
        return client.get(state["download_url"]).raise_for_status().content


def beginning(recording: bytes, seconds: float) -> bytes:
    """Return the first `seconds` of a WAV file."""
    target = io.BytesIO()
    with wave.open(io.BytesIO(recording)) as whole, wave.open(target, "wb") as part:
        part.setparams(whole.getparams())
        part.writeframes(whole.readframes(round(seconds * whole.getframerate())))
    return target.getvalue()
