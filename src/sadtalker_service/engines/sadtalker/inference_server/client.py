"""Client of an inference server, with the same interface as local networks. Needs no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from sadtalker_service.domain import Uint8Image
from sadtalker_service.engines.sadtalker.enhancing.port import WHOLE, Window
from sadtalker_service.engines.sadtalker.inference_port import EncodedFace, Float32
from sadtalker_service.engines.sadtalker.inference_server.wire import VERSION, Channel, ChannelClosed, Message
from sadtalker_service.errors import EngineUnavailable

log = structlog.get_logger(__name__)

ABSENCE_SECONDS = 60.0
"""A server that dies restarts within seconds. One that is away for longer does not come back."""
_FIRST_DELAY = 0.05
_LONGEST_DELAY = 1.0
_MOST_LOSSES = 3
"""If a server dies this often over the same request without progress, the request is the cause."""


@dataclass(frozen=True)
class RemoteInference:
    """Implements `inference_port.Inference`. If the server dies, waits for it and requests the missing
    results again."""

    address: Path
    """Socket of the server."""
    checkpoints: str
    """Version of the checkpoints (`Readiness.version`) that the server must have."""
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def motion(self, size: int) -> RemoteNetworks:
        """See `inference_port.Inference`."""
        return RemoteNetworks(self, size)

    def frames(
        self,
        size: int,
        volume: NDArray[np.float16],
        source: Float32,
        driving: Float32,
        limit: int | None = None,
    ) -> Generator[Uint8Image]:
        """See `inference_port.Inference`. After a loss, frames that were already returned are not drawn
        again."""
        received = losses = 0
        while received < len(driving):
            request = self._request(
                "frames",
                {"size": size, "limit": limit},
                {"volume": volume, "source": source, "driving": driving[received:]},
            )
            try:
                with self._connected() as channel:
                    channel.send(request)
                    while received < len(driving):
                        pictures = _answer(channel.receive()).arrays["pictures"]
                        received, losses = received + len(pictures), 0
                        yield pictures
            except ChannelClosed as error:
                losses += 1
                self._count_loss(losses, error)

    def warm_up(self, size: int, *, full_frame: bool) -> None:
        """See `inference_port.Inference`."""
        self.ask("warm_up", {"size": size, "full_frame": full_frame})

    @property
    def enhancers(self) -> RemoteEnhancers:
        """See `inference_port.Inference`."""
        return RemoteEnhancers(self)

    def ask(
        self, call: str, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]] | None = None
    ) -> Message:
        """The response to a request that can be repeated. Raises `EngineUnavailable`."""
        request, losses = self._request(call, values, arrays or {}), 0
        while True:
            try:
                with self._connected() as channel:
                    channel.send(request)
                    return _answer(channel.receive())
            except ChannelClosed as error:
                losses += 1
                self._count_loss(losses, error)

    def _request(self, call: str, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Message:
        about = {"call": call, "version": VERSION, "checkpoints": self.checkpoints}
        return Message({**values, **about}, arrays)

    def _connected(self) -> Channel:
        until, delay = self.clock() + ABSENCE_SECONDS, _FIRST_DELAY
        while True:
            try:
                connection = Client(str(self.address), family="AF_UNIX")
            except OSError as error:
                if self.clock() > until:
                    raise EngineUnavailable(
                        f"The inference server does not answer on {self.address}: {error.strerror}. Check"
                        " its log. `sadtalker serve` starts a server, `sadtalker inference` runs one."
                    ) from error
            else:
                assert isinstance(connection, Connection)  # noqa: S101 - of a unix socket
                return Channel(connection)
            self.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)

    @staticmethod
    def _count_loss(losses: int, error: ChannelClosed) -> None:
        log.warning("inference_server_lost", losses=losses, reason=str(error))
        if losses >= _MOST_LOSSES:
            raise EngineUnavailable(
                f"The inference server died {losses} times during this request. See its log for the reason."
            ) from error


@dataclass(frozen=True)
class RemoteNetworks:
    """Implements `inference_port.Networks`."""

    server: RemoteInference
    size: int

    def regress(self, pictures: Uint8Image) -> Float32:
        """See `inference_port.Networks`."""
        return self._found("regress", {"pictures": pictures})

    def encode(self, square: Uint8Image, row: Float32, *, full_frame: bool) -> EncodedFace:
        """See `inference_port.Networks`."""
        values = {"size": self.size, "full_frame": full_frame}
        arrays = self.server.ask("encode", values, {"square": square, "row": _float32(row)}).arrays
        return EncodedFace(arrays["volume"], arrays["canonical"], arrays["keypoints"])

    def expression(self, windows: Float32, reference: Float32, blink: Float32) -> Float32:
        """See `inference_port.Networks`."""
        return self._found("expression", {"windows": windows, "reference": reference, "blink": blink})

    def pose(self, windows: Float32, source: Float32, *, style: int, seed: int, chunk: int = 0) -> Float32:
        """See `inference_port.Networks`."""
        arrays = {"windows": windows, "source": source}
        return self._found("pose", arrays, style=style, seed=seed, chunk=chunk)

    def keypoints(
        self, semantics: Float32, canonical: Float32, view: Mapping[str, Float32], *, full_frame: bool
    ) -> Float32:
        """See `inference_port.Networks`."""
        arrays = {"semantics": semantics, "canonical": canonical, **view}
        return self._found("keypoints", arrays, full_frame=full_frame)

    def _found(self, call: str, arrays: Mapping[str, NDArray[Any]], **values: object) -> Float32:
        sent = {name: array if array.dtype == np.uint8 else _float32(array) for name, array in arrays.items()}
        found: Float32 = self.server.ask(call, {"size": self.size, **values}, sent).arrays["found"]
        return found


@dataclass(frozen=True)
class RemoteEnhancers:
    """Implements `inference_port.LoadedEnhancers`."""

    server: RemoteInference

    def of_faces(self, name: str) -> RemoteFaceEnhancer:
        """See `inference_port.LoadedEnhancers`."""
        return RemoteFaceEnhancer(self.server, name)

    def of_backgrounds(self, name: str) -> RemoteBackgroundEnhancer:
        """See `inference_port.LoadedEnhancers`."""
        return RemoteBackgroundEnhancer(self.server, name)


@dataclass(frozen=True)
class RemoteFaceEnhancer:
    """Implements `enhancing.port.FaceEnhancer`."""

    server: RemoteInference
    name: str

    def side(self, size: int) -> int:
        """Side of the output for a square of `size`."""
        return int(self.server.ask("restored_side", {"name": self.name, "size": size}).values["side"])

    def __call__(self, pictures: Uint8Image, window: Window = WHOLE) -> Uint8Image:
        """See `FaceEnhancer`."""
        values = {"name": self.name, "window": list(window)}
        found: Uint8Image = self.server.ask("restore", values, {"pictures": pictures}).arrays["found"]
        return found


@dataclass(frozen=True)
class RemoteBackgroundEnhancer:
    """Implements `enhancing.port.BackgroundEnhancer`."""

    server: RemoteInference
    name: str

    def __call__(self, picture: Uint8Image) -> Uint8Image:
        """See `BackgroundEnhancer`."""
        found: Uint8Image = self.server.ask("enlarge", {"name": self.name}, {"picture": picture}).arrays[
            "found"
        ]
        return found


def _answer(message: Message) -> Message:
    """The response, or raise the error that the server sent instead."""
    error = message.values.get("error")
    if error is None:
        return message
    if error["code"] == EngineUnavailable.code:
        raise EngineUnavailable(error["message"])
    raise RuntimeError(f"The inference server: {error['message']}")


def _float32(values: NDArray[Any]) -> Float32:
    return np.asarray(values, np.float32)
