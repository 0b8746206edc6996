"""Workers get the same results from the inference server as from local networks, share batches, and survive
its death."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Listener, Pipe
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, multiprocess

from sadtalker_service.engines.registry import helpers
from sadtalker_service.engines.sadtalker.inference_port import EncodedFace
from sadtalker_service.engines.sadtalker.inference_server.choice import choose_inference
from sadtalker_service.engines.sadtalker.inference_server.client import RemoteInference
from sadtalker_service.engines.sadtalker.inference_server.process import device_is_lost
from sadtalker_service.engines.sadtalker.inference_server.server import InferenceServer, is_listening
from sadtalker_service.engines.sadtalker.inference_server.wire import VERSION, Channel, ChannelClosed, Message
from sadtalker_service.engines.sadtalker.readiness import Readiness, readiness
from sadtalker_service.errors import EngineUnavailable
from sadtalker_service.settings import Settings

PATIENCE = 120
BATCH = 2

numbers = np.random.default_rng(3)
VOLUME = numbers.standard_normal((32, 16, 32, 32)).astype(np.float16)
"""Features of an image of 128 x 128, the smallest size that the networks draw."""
SOURCE = numbers.uniform(-0.5, 0.5, (15, 3)).astype(np.float32)


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="st-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def until(true: Callable[[], bool]) -> None:
    """Wait until `true()` is true."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


# -- messages


@pytest.fixture
def channels() -> Iterator[tuple[Channel, Channel]]:
    one, other = Pipe()
    with Channel(one) as left, Channel(other) as right:
        yield left, right


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        np.arange(24, dtype=np.float32).reshape(4, 6).T,
        np.array([1.5, -2.25], np.float16),
        np.empty((0, 15, 3), np.float32),
    ],
    ids=["bytes", "transposed", "sixteen bits", "nothing"],
)
def test_arrays_arrive_as_they_were_sent(channels: tuple[Channel, Channel], array: Any) -> None:
    left, right = channels
    left.send(Message({"size": 256, "limit": None}, {"one": array, "again": array}))
    found = right.receive()
    assert dict(found.values) == {"size": 256, "limit": None}
    for name in ("one", "again"):
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype


def test_a_closed_connection_is_distinguished_from_a_message(channels: tuple[Channel, Channel]) -> None:
    left, right = channels
    left.close()
    with pytest.raises(ChannelClosed):
        right.receive()
    with pytest.raises(ChannelClosed):
        right.send(Message())


@pytest.mark.parametrize(
    "line",
    [
        b"\x80\x04K\x01.",  # pickled
        b"[]",
        b'{"values": {}}',
        b'{"values": {}, "arrays": [["a", "|O8", [1]]]}',
        b'{"values": {}, "arrays": [["a", "<f4", [-1]]]}',
    ],
)
def test_an_invalid_message_is_rejected(line: bytes) -> None:
    one, other = Pipe()
    with one, Channel(other) as channel:
        one.send_bytes(line)
        with pytest.raises(ChannelClosed):
            channel.receive()


def test_an_array_that_is_too_short_is_rejected() -> None:
    one, other = Pipe()
    with one, Channel(other) as channel:
        one.send_bytes(json.dumps({"values": {}, "arrays": [["a", "<f4", [4]]]}).encode())
        one.send_bytes(bytes(12))
        with pytest.raises(ChannelClosed, match="shorter"):
            channel.receive()


# -- a server that is missing or dies


def remote(address: Path, version: str = "1") -> RemoteInference:
    """A client whose clock advances at each call."""
    ticks = itertools.count()
    return RemoteInference(address, version, sleep=lambda _: None, clock=lambda: float(next(ticks)))


def test_a_server_that_does_not_come_back_is_an_error(folder: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"does not answer on .*none\.sock.*sadtalker inference"):
        remote(folder / "none.sock").warm_up(256, full_frame=True)


@contextmanager
def listening(address: Path, handle: Callable[[Any], None]) -> Iterator[None]:
    """Context manager that calls `handle` with each connection to a socket."""
    ended = threading.Event()

    def accept() -> None:
        while True:
            connection = listener.accept()
            if ended.is_set():
                connection.close()
                return
            handle(connection)

    with Listener(str(address), family="AF_UNIX") as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield
        ended.set()
        # closing the listening socket does not wake a thread in accept(), but a connection does
        is_listening(address)
        thread.join(PATIENCE)


@pytest.mark.parametrize("streams", [False, True])
def test_a_request_that_kills_the_server_is_not_repeated_forever(folder: Path, streams: bool) -> None:
    asked = 0

    def die(connection: Any) -> None:
        nonlocal asked
        asked += 1
        connection.close()

    with listening(folder / "s", die):
        client = remote(folder / "s")
        frames, pictures = client.frames(256, VOLUME, SOURCE, SOURCE[None]), np.zeros((1, 4, 4, 3), np.uint8)
        ask = partial(next, frames) if streams else partial(client.motion(256).regress, pictures)
        with pytest.raises(EngineUnavailable, match="died 3 times"):
            ask()
    assert asked == 3


class Broken:
    """Networks whose device has failed."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def motion(self, size: int) -> Any:
        raise self.error


class Echo:
    """Networks and enhancers that return all their inputs."""

    drawing_seconds = 0.0

    def motion(self, size: int) -> Any:
        return EchoNetworks(size)

    def frames(self, size: int, volume: Any, source: Any, driving: Any, limit: int | None = None) -> Any:
        for keypoints in driving:
            yield np.full((1, 2, 2, 3), size / 256 + volume.sum() + source.sum() + keypoints.sum(), np.uint8)
            assert limit == 5

    def warm_up(self, size: int, *, full_frame: bool) -> None:
        if (size, full_frame) != (512, True):
            raise EngineUnavailable(f"warm: {size} {full_frame}")

    @property
    def enhancers(self) -> Any:
        return self

    def of_faces(self, name: str) -> Any:
        return EchoEnhancer(name)

    def of_backgrounds(self, name: str) -> Any:
        return EchoEnhancer(name)


@dataclass
class EchoNetworks:
    size: int

    def regress(self, pictures: Any) -> Any:
        return pictures.astype(np.float32) * self.size

    def encode(self, square: Any, row: Any, *, full_frame: bool) -> EncodedFace:
        return EncodedFace(square.astype(np.float16), row + self.size, row + np.float32(full_frame))

    def expression(self, windows: Any, reference: Any, blink: Any) -> Any:
        return np.stack([windows, reference, blink]) + np.float32(self.size)

    def pose(self, windows: Any, source: Any, *, style: int, seed: int, chunk: int = 0) -> Any:
        return np.stack([windows, source]) + np.array([self.size + style + seed + 1000 * chunk], np.float32)

    def keypoints(self, semantics: Any, canonical: Any, view: Any, *, full_frame: bool) -> Any:
        return np.stack([semantics, canonical, view["yaw"] * 2, view["roll"] * 3]) + np.float32(full_frame)


@dataclass
class EchoEnhancer:
    name: str

    def side(self, size: int) -> int:
        return size * len(self.name)

    def __call__(self, pictures: Any, window: Any = (0.0, 0.0, 1.0, 1.0)) -> Any:
        return pictures + np.array(window, np.float64).sum().astype(np.uint8) + np.uint8(len(self.name))


@pytest.fixture
def echo(folder: Path) -> Iterator[RemoteInference]:
    """Client of a server with such networks."""
    ready = readiness(folder)
    server = InferenceServer(ready.version, Echo, lambda _: False)
    with listening(folder / "echo.sock", lambda connection: server.answer(Channel(connection))):
        yield RemoteInference(folder / "echo.sock", ready.version())


def test_every_request_and_response_is_passed_on_completely(echo: RemoteInference) -> None:
    a, b, c = (np.arange(n, n + 4, dtype=np.float32) for n in (1, 10, 100))
    pictures = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)

    def answers_of(inference: Any) -> list[Any]:
        networks, face = inference.motion(256), inference.enhancers.of_faces("gfpgan")
        encoded = networks.encode(pictures, a, full_frame=True)
        return [
            networks.regress(pictures),
            *(encoded.volume, encoded.canonical, encoded.keypoints),
            networks.expression(a, b, c),
            networks.pose(a, b, style=3, seed=40, chunk=8),
            networks.keypoints(a, b, {"roll": c, "yaw": a}, full_frame=False),
            *inference.frames(512, a.astype(np.float16), b, np.stack([a, b]), 5),
            np.array(face.side(256)),
            face(pictures, (1.0, 2.0, 3.0, 4.0)),
            inference.enhancers.of_backgrounds("realesrgan")(pictures),
        ]

    for told, known in zip(answers_of(echo), answers_of(Echo()), strict=True):
        np.testing.assert_array_equal(told, known)
        assert told.dtype == known.dtype
    echo.warm_up(512, full_frame=True)
    with pytest.raises(EngineUnavailable, match="warm: 256 False"):
        echo.warm_up(256, full_frame=False)
    with pytest.raises(RuntimeError, match="AssertionError"):
        list(echo.frames(256, a.astype(np.float16), b, np.stack([a, b]), 6))


def ask(server: InferenceServer, version: str) -> Message:
    """The server's response to a request from a worker with these checkpoints."""
    one, other = Pipe()
    with Channel(one) as channel:
        about = {"call": "regress", "version": VERSION, "checkpoints": version, "size": 256}
        channel.send(Message(about, {"pictures": np.zeros((1, 4, 4, 3), np.uint8)}))
        server.answer(Channel(other))
        return channel.receive()


@pytest.mark.parametrize(
    ("message", "codes"),
    [
        ("CUDA error: an illegal memory access was encountered", [1]),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", [1]),
        ("CUDA error: out of memory", []),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", []),
        ("shapes do not fit", []),
    ],
)
def test_a_process_whose_device_failed_ends(folder: Path, message: str, codes: list[int]) -> None:
    """A new process can use the device again. After any other defect, this process continues."""
    ended: list[int] = []
    ready: Readiness = readiness(folder)
    networks: Any = Broken(RuntimeError(message))
    server = InferenceServer(ready.version, lambda: networks, device_is_lost, ended.append)
    error = ask(server, ready.version()).values["error"]
    assert error == {"code": "internal_error", "message": f"RuntimeError: {message}"}
    assert ended == codes


def test_a_server_with_other_checkpoints_is_not_used(folder: Path) -> None:
    server = InferenceServer(readiness(folder).version, lambda: pytest.fail("loaded"), lambda _: False)
    error = ask(server, "other").values["error"]
    assert error["code"] == "engine_unavailable"
    assert "differ in version or checkpoints. Restart both" in error["message"]


def test_a_server_whose_checkpoints_were_changed_ends(folder: Path) -> None:
    """The next server reads the new checkpoints. No worker needs a restart."""
    versions: Iterator[str] = iter(["old", "new", "new"])
    ended: list[int] = []
    server = InferenceServer(lambda: next(versions), Echo, lambda _: False, ended.append)
    ask(server, "new")
    assert ended == [1]


@pytest.mark.parametrize(("seconds", "codes"), [(0.0, []), (600.0, []), (1000.0, [1])])
def test_a_server_whose_device_does_not_respond_ends(seconds: float, codes: list[int]) -> None:
    stuck, ended = Echo(), list[int]()
    stuck.drawing_seconds = seconds
    server = InferenceServer(lambda: "1", lambda: stuck, lambda _: False, ended.append)
    server.leave_if_stuck()
    assert ended == [], "nothing is loaded yet"
    ask(server, "1")
    server.leave_if_stuck()
    assert ended == codes


def test_without_checkpoints_the_missing_files_are_named(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sadtalker_service", "inference", "--socket", str(folder / "s")],
        env={**os.environ, "SADTALKER_CHECKPOINTS_PATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 3
    assert "sadtalker models download" in done.stderr.splitlines()[-1]


# -- the real server


class Server:
    """`sadtalker inference`, which can be killed and restarted on the same socket."""

    def __init__(self, checkpoints: Path, folder: Path) -> None:
        self.address = folder / "inference.sock"
        self.counts = folder / "counts"
        self.counts.mkdir()
        self.settings = Settings(
            sadtalker_checkpoints_path=checkpoints,
            sadtalker_device="cpu",
            sadtalker_inference=self.address,
        )
        self._env = {
            "SADTALKER_CHECKPOINTS_PATH": str(checkpoints),
            "SADTALKER_DEVICE": "cpu",
            "SADTALKER_BATCH_SIZE": str(BATCH),
            "PROMETHEUS_MULTIPROC_DIR": str(self.counts),
        }
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server, or start it again."""
        arguments = ["-m", "sadtalker_service", "inference", "--socket", str(self.address)]
        self.process = subprocess.Popen([sys.executable, *arguments], env={**os.environ, **self._env})
        return self.process

    def kill(self) -> None:
        """Kill it like `kill -9`."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def connections(self) -> int:
        """Number of requests in progress."""
        links = [link for link in Path(f"/proc/{self.process.pid}/fd").iterdir() if link.is_symlink()]
        sockets = [link for link in links if str(link.readlink()).startswith("socket:")]
        return len(sockets) - 1  # one socket is the listening one

    def count(self, name: str, **labels: str) -> float:
        """A counter, summed over all its processes."""
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, str(self.counts))  # type: ignore[no-untyped-call]
        return registry.get_sample_value(f"sadtalker_inference_{name}_total", labels) or 0.0


@pytest.fixture(scope="module")
def server(checkpoints: Path) -> Iterator[Server]:
    pytest.importorskip("torch")
    path = Path(tempfile.mkdtemp(prefix="st-"))
    running = Server(checkpoints, path)
    yield running
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(PATIENCE) == 128 + signal.SIGTERM
    assert not running.address.exists()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def remote_networks(server: Server) -> Any:
    """The networks of the server."""
    return choose_inference(server.settings, readiness(server.settings.checkpoints_folder))


def driving(count: int, seed: int) -> Any:
    """(count, 15, 3): the source's keypoints with random displacements."""
    shaken = np.random.default_rng(seed).normal(0, 0.02, (count, 15, 3))
    return (SOURCE + shaken).astype(np.float32)


def drawn(inference: Any, keypoints: Any, limit: int | None = None) -> Any:
    return np.concatenate(list(inference.frames(256, VOLUME, SOURCE, keypoints, limit)))


@pytest.fixture(scope="module")
def shared(remote_networks: Any) -> list[tuple[Any, Any]]:
    """Keypoints of two videos, and their frames, drawn at the same time with one frame of each per batch."""
    keypoints = [driving(2, 1), driving(2, 2)]
    with ThreadPoolExecutor(2) as workers:
        return list(
            zip(keypoints, workers.map(partial(drawn, remote_networks, limit=1), keypoints), strict=True)
        )


def test_videos_of_two_workers_share_batches(server: Server, shared: Any) -> None:
    frames = [frames.astype(int) for _, frames in shared]
    assert [video.shape for video in frames] == [(2, 128, 128, 3)] * 2
    assert np.abs(frames[0] - frames[1]).max() > 20, "the videos differ"
    until(lambda: server.count("frames") == 4)
    assert server.count("batches", videos="2") >= 1


def test_clients_wait_for_a_killed_server_and_get_the_missing_frames(
    server: Server, remote_networks: Any, shared: Any
) -> None:
    """The result equals that of the shared batches: the same face, whatever else is drawn."""
    keypoints, frames = shared[0]
    found = []
    for pictures in remote_networks.frames(256, VOLUME, SOURCE, keypoints, 1):
        found.append(pictures)
        if len(found) == 1:
            server.kill()
            server.start()
    assert np.abs(np.concatenate(found).astype(int) - frames.astype(int)).max() <= 1


def test_a_client_that_disconnects_leaves_no_work_behind(server: Server, remote_networks: Any) -> None:
    with closing(remote_networks.frames(256, VOLUME, SOURCE, driving(400, 5), 1)) as frames:
        next(frames)
        assert server.connections() == 1
    until(lambda: server.connections() == 0)
    before = server.count("frames")
    drawn(remote_networks, driving(2, 6), limit=1)
    until(lambda: server.count("frames") >= before + 2)
    assert server.count("frames") <= before + 3, "besides the two frames, only the one in progress"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_server_memory_does_not_grow_with_its_work(server: Server, remote_networks: Any) -> None:
    def resident() -> float:
        """Resident memory in MB."""
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1000

    sizes = []
    for count, seed in ((40, 22), (40, 23)):
        with ThreadPoolExecutor(2) as workers:
            list(
                workers.map(
                    partial(drawn, remote_networks), (driving(count, seed), driving(count // 2, seed))
                )
            )
        sizes.append(resident())
    assert sizes[1] < sizes[0] + 100, f"MB: {sizes}"


def test_a_failed_request_is_reported_and_the_server_continues(server: Server, remote_networks: Any) -> None:
    with pytest.raises(RuntimeError, match="The inference server: "):
        drawn(remote_networks, driving(2, 9)[:, :7])
    remote_networks.motion(256).regress(np.zeros((1, 224, 224, 3), np.uint8))
    assert server.process.poll() is None


def test_a_second_server_on_the_socket_is_rejected(server: Server) -> None:
    until(lambda: is_listening(server.address))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        subprocess.run(
            [sys.executable, "-m", "sadtalker_service", "inference", "--socket", str(server.address)],
            env={**os.environ, **server._env},
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )
    assert "Another inference server listens" in refused.value.stderr.decode()


def test_a_service_starts_a_server_if_it_can_run_and_none_is_set(checkpoints: Path, folder: Path) -> None:
    pytest.importorskip("torch")
    settings = Settings(sadtalker_checkpoints_path=checkpoints)
    (found,) = helpers(settings, folder)
    assert found.environment == {"SADTALKER_INFERENCE": str(folder / "inference.sock")}
    assert not found.is_ready()
    assert helpers(Settings(sadtalker_checkpoints_path=folder), folder) == ()
    named = settings.model_copy(update={"sadtalker_inference": folder / "other.sock"})
    assert helpers(named, folder) == ()
