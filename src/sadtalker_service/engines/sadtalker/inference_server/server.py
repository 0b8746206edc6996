"""A process that runs the networks for all workers of a machine.

The networks load once, whatever the number of workers, and videos rendered at the same time share batches.
Everything else stays in the workers: decoding, pasting and encoding, and the failures of those.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, suppress
from functools import partial
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from sadtalker_service.engines.sadtalker.inference_server.wire import VERSION, Channel, ChannelClosed, Message
from sadtalker_service.errors import EngineUnavailable, SadTalkerError

if TYPE_CHECKING:
    from sadtalker_service.engines.sadtalker.inference_port import Inference, LocalInference

log = structlog.get_logger(__name__)

_BACKLOG = 128
_PRIVATE = 0o077
_ANSWER_SECONDS = 1.0
_PAUSE_SECONDS = 0.1
_WATCH_SECONDS = 10.0
_STUCK_SECONDS = 900.0
"""A batch of the largest frames takes minutes on a busy CPU. Nothing takes a quarter of an hour."""
_INTERRUPTED = 130
"""Exit code after Ctrl-C."""


class InferenceServer:
    """Answers requests for one folder of checkpoints, each in its own thread."""

    def __init__(
        self,
        version: Callable[[], str],
        load: Callable[[], LocalInference],
        is_lost: Callable[[Exception], bool],
        end: Callable[[int], None] = os._exit,
    ) -> None:
        """Create a server that loads its networks at the first request.

        Args:
            version: version of the checkpoints that are in the folder now.
            load: loads the networks, once, at the first request. Raises `EngineUnavailable`.
            is_lost: whether this process can no longer use the device after such an error.
            end: ends the process with an exit code, because only a new process can use the device again.
        """
        self._current_version = version
        self._version = version()
        self._load = load
        self._is_lost = is_lost
        self._end = end
        self._lock = threading.Lock()
        self._inference: LocalInference | None = None
        self._ready_for_requests = threading.Event()
        self._ready_for_requests.set()

    def serve(self, address: Path, on_listening: Callable[[], None] = lambda: None) -> None:
        """Serve on a socket, which only this user may open, until the main thread is told to stop. That ends
        the process. `on_listening` is called in a thread once the socket listens. Requests wait until it
        returns.

        Raises `EngineUnavailable` if another server listens there.
        """
        try:
            with self._listen(address) as listener:
                log.info("inference_server_ready", socket=str(address))
                self._ready_for_requests.clear()
                self._start(partial(self._prepare, on_listening))
                self._start(self._watch)
                while True:
                    self._accept(listener)
        except (SystemExit, KeyboardInterrupt) as stop:
            # exit at once: threads are deep inside torch, which crashes when the interpreter shuts down
            code = stop.code if isinstance(stop, SystemExit) else _INTERRUPTED
            self._end(code if isinstance(code, int) else 1)
        except FileNotFoundError:  # stopped after the socket had been removed
            self._end(1)

    def warm_up(self, size: int, *, full_frame: bool) -> None:
        """Load the networks before the first request. Clients receive any error."""
        try:
            self.inference.warm_up(size, full_frame=full_frame)
        except Exception as error:  # the first request raises it again
            log.exception("networks_not_warm")
            self._give_up_if_lost(error)

    def leave_if_stuck(self) -> None:
        """End the process if a batch takes longer than any batch can, because the device does not respond."""
        if self._inference is None or not self._ready_for_requests.is_set():  # compilation may take long
            return
        seconds = self._inference.drawing_seconds
        if seconds > _STUCK_SECONDS:
            log.critical("device_stuck", seconds=round(seconds), consequence="this process ends")
            self._end(1)

    @property
    def inference(self) -> LocalInference:
        """The networks. Raises `EngineUnavailable`."""
        with self._lock:
            if self._inference is None:
                self._inference = self._load()
            return self._inference

    def answer(self, channel: Channel) -> None:
        """Answer one request."""
        with channel, suppress(ChannelClosed):  # the client is gone or stopped reading
            request = channel.receive()
            try:
                with closing(self._answers(request)) as answers:
                    for message in answers:
                        channel.send(message)
            except ChannelClosed:
                raise
            except SadTalkerError as error:
                log.warning("question_refused", call=request.values.get("call"), reason=error.message)
                channel.send(_failure(error.code, error.message))
            except Exception as error:  # any error: the client must receive it
                log.exception("question_failed", call=request.values.get("call"))
                self._give_up_if_lost(error)
                channel.send(_failure("internal_error", f"{type(error).__name__}: {error}"))

    def _answers(self, request: Message) -> Generator[Message]:
        values = request.values
        if (values.get("version"), values.get("checkpoints")) != (VERSION, self._version):
            if self._current_version() != self._version:
                log.warning("checkpoints_changed", consequence="this process ends, the next one reads them")
                self._end(1)
            raise EngineUnavailable(
                "The inference server and this worker differ in version or checkpoints. Restart both."
            )
        self._ready_for_requests.wait()
        if values["call"] == "frames":
            yield from _frames(self.inference, request)
        else:
            yield _CALLS[values["call"]](self.inference, request)

    def _give_up_if_lost(self, error: Exception) -> None:
        if self._is_lost(error):
            log.critical("device_lost", reason=str(error), consequence="this process ends")
            self._end(1)

    def _accept(self, listener: Listener) -> None:
        try:
            connection = listener.accept()
        except OSError as error:  # the client gave up, or too many files are open
            log.warning("connection_missed", reason=str(error))
            time.sleep(_PAUSE_SECONDS)
            return
        assert isinstance(connection, Connection)  # noqa: S101 - of a unix socket
        self._start(partial(self.answer, Channel(connection)))

    def _prepare(self, on_listening: Callable[[], None]) -> None:
        try:
            on_listening()
        finally:
            self._ready_for_requests.set()

    def _watch(self) -> None:
        while True:
            time.sleep(_WATCH_SECONDS)
            self.leave_if_stuck()

    @staticmethod
    def _start(target: Callable[[], None]) -> None:
        threading.Thread(target=target, name="request", daemon=True).start()

    @staticmethod
    def _listen(address: Path) -> Listener:
        if is_listening(address):
            raise EngineUnavailable(f"Another inference server listens on {address}.")
        address.unlink(missing_ok=True)  # left by a server that was killed
        before = os.umask(_PRIVATE)
        try:
            return Listener(str(address), family="AF_UNIX", backlog=_BACKLOG)
        except OSError as error:
            raise EngineUnavailable(f"Cannot listen on {address}: {error.strerror or error}.") from error
        finally:
            os.umask(before)


def is_listening(address: Path) -> bool:
    """Whether a server accepts connections on a socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_ANSWER_SECONDS)
        try:
            probe.connect(str(address))
        except BlockingIOError:  # the server is very busy
            return True
        except OSError:
            return False
    return True


def _frames(inference: Inference, request: Message) -> Generator[Message]:
    values, arrays = request.values, request.arrays
    frames = inference.frames(
        values["size"], arrays["volume"], arrays["source"], arrays["driving"], values["limit"]
    )
    with closing(frames):  # a client that disconnects leaves no frames behind
        for pictures in frames:
            yield Message(arrays={"pictures": pictures})


def _warm_up(inference: Inference, request: Message) -> Message:
    inference.warm_up(request.values["size"], full_frame=request.values["full_frame"])
    return Message()


def _regress(inference: Inference, request: Message) -> Message:
    found = inference.motion(request.values["size"]).regress(request.arrays["pictures"])
    return Message(arrays={"found": found})


def _encode(inference: Inference, request: Message) -> Message:
    values, arrays = request.values, request.arrays
    networks = inference.motion(values["size"])
    face = networks.encode(arrays["square"], arrays["row"], full_frame=values["full_frame"])
    return Message(arrays={"volume": face.volume, "canonical": face.canonical, "keypoints": face.keypoints})


def _expression(inference: Inference, request: Message) -> Message:
    arrays = request.arrays
    networks = inference.motion(request.values["size"])
    found = networks.expression(arrays["windows"], arrays["reference"], arrays["blink"])
    return Message(arrays={"found": found})


def _pose(inference: Inference, request: Message) -> Message:
    values, arrays = request.values, request.arrays
    networks = inference.motion(values["size"])
    found = networks.pose(
        arrays["windows"],
        arrays["source"],
        style=values["style"],
        seed=values["seed"],
        chunk=values["chunk"],
    )
    return Message(arrays={"found": found})


def _keypoints(inference: Inference, request: Message) -> Message:
    values, arrays = request.values, request.arrays
    view = {name: arrays[name] for name in ("yaw", "pitch", "roll") if name in arrays}
    networks = inference.motion(values["size"])
    found = networks.keypoints(
        arrays["semantics"], arrays["canonical"], view, full_frame=values["full_frame"]
    )
    return Message(arrays={"found": found})


def _restored_side(inference: Inference, request: Message) -> Message:
    enhancer = inference.enhancers.of_faces(request.values["name"])
    return Message({"side": enhancer.side(request.values["size"])})


def _restore(inference: Inference, request: Message) -> Message:
    x0, y0, x1, y1 = request.values["window"]
    enhancer = inference.enhancers.of_faces(request.values["name"])
    return Message(arrays={"found": enhancer(request.arrays["pictures"], (x0, y0, x1, y1))})


def _enlarge(inference: Inference, request: Message) -> Message:
    enhancer = inference.enhancers.of_backgrounds(request.values["name"])
    return Message(arrays={"found": enhancer(request.arrays["picture"])})


_CALLS: Mapping[str, Callable[[Inference, Message], Message]] = {
    "warm_up": _warm_up,
    "regress": _regress,
    "encode": _encode,
    "expression": _expression,
    "pose": _pose,
    "keypoints": _keypoints,
    "restored_side": _restored_side,
    "restore": _restore,
    "enlarge": _enlarge,
}


def _failure(code: str, message: str) -> Message:
    return Message({"error": {"code": code, "message": message}})
