"""The measurement plan and its results. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    sizes: Sequence[int]
    """Frame sizes, multiples of 128."""
    precisions: Sequence[str]
    """`float32`, `bfloat16`, `float16`"""
    batches: Sequence[int]
    """Frames per batch."""
    repeats: int
    """Runs per median."""
    clip_seconds: float
    """Length of the whole video to time, or 0 for none."""
    compiled: bool
    """Let torch compile everything that runs for every frame."""
    original: bool
    """Also time the original's structure, alternating with the first case of each size."""
    budget: float = 0.0
    """Seconds after which no other case begins, or 0 for no limit."""


@dataclass(frozen=True)
class Case:
    """One way of drawing frames."""

    size: int
    precision: str
    batch: int


@dataclass(frozen=True)
class Work:
    """Multiply-adds of one frame, in 1e9."""

    original: float
    """The trained form, with the source encoded for every frame."""
    reduced: float
    """The inference form, which computes nothing twice."""
    tiles: float
    """The inference form with its large convolutions on tiles, as used in float32 on a CPU."""


@dataclass(frozen=True)
class Rendered:
    """Results of one case. Times are medians of whole batches, until the frames are bytes in host memory."""

    case: Case
    frames_per_second: float
    milliseconds: float
    """Per frame."""
    shared: float | None
    """The same if every frame of the batch belongs to another video. None for a single frame."""
    direct: float | None
    """Milliseconds per frame without a CUDA graph. None if there is none."""
    graph_error: int | None
    """Largest difference of a byte with the graph from one without. None if there is no graph."""
    passes: str
    """How the work between convolutions runs (`renderer.gpu.choosing`), or `tiles` or `maps` on a CPU."""
    stages: Mapping[str, float]
    """Milliseconds per frame, in order, without a graph: `motion`; `warp` and the layers after it; `decoder`;
    `bytes`, the transfer to host memory."""
    first: float
    """Seconds of the first batch, including compilation and kernel selection."""
    cpu: float
    """Milliseconds of processor time per frame, over all threads. Less affected by other work."""
    original: float | None
    """Frames per second of the original's structure in float32, two at a time, alternating with this case;
    None if it was measured with another case of this size. On a GPU its convolutions use TF32, which is
    torch's default."""
    original_cpu: float | None
    """Its milliseconds of processor time per frame."""
    product: float
    """Multiply-adds per second, in 1e12, of a large matrix product of the same dtype, alternating with this
    case."""
    share: float
    """Multiply-adds per second, as a share of those of that product."""
    largest_error: float
    """Largest error of a pixel, 0..1, relative to the trained form in float32 on the same device."""
    mean_error: float
    memory: float
    """Peak memory of the GPU in 1e9 bytes, or 0 on a CPU."""

    @property
    def times_faster(self) -> float | None:
        """Speed relative to the original's structure."""
        return self.frames_per_second / self.original if self.original else None

    @property
    def times_less_cpu(self) -> float | None:
        """Processor time relative to the original's structure."""
        return self.original_cpu / self.cpu if self.original_cpu else None


@dataclass(frozen=True)
class Encoded:
    """The same video including the encoder, starting from the mel features. Seconds."""

    alone: float
    """Encoding existing frames."""
    after: float
    """Encoding after the last frame is drawn."""
    beside: float
    """Encoding in a separate thread while frames are drawn."""


@dataclass(frozen=True)
class Clip:
    """A video of a known avatar, whose features come from a cache in 16 bits. Seconds."""

    case: Case
    frames: int
    known: float
    """All frames as bytes in host memory, for driven audio with known keypoints."""
    new: float
    """The same from mel features, including the audio networks."""
    encoded: Encoded | None
    """None if PyAV and numpy are not installed."""


@dataclass(frozen=True)
class Device:
    """The machine of the measurement."""

    name: str
    processor: str
    cores: int
    threads: int
    """CPU threads of torch."""
    torch: str
    load: float
    """Mean number of processes that wanted a core in the minute before the measurement."""


@dataclass(frozen=True)
class Report:
    """The result of a whole measurement."""

    device: Device
    stolen: float
    """Share of the cores' time that the host took away during the measurement, 0..1."""
    compiled: bool
    work: Mapping[int, Work]
    """Work by frame size."""
    rendered: Sequence[Rendered]
    clips: Sequence[Clip]
    out_of_memory: Sequence[Case]
    """Cases for which the device had too little memory."""
    left_out: Sequence[Case] = ()
    """Cases that did not begin, because the time was over or the measurement was stopped."""
