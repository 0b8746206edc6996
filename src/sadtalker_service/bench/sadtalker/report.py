"""What is measured, and what was found. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    sizes: Sequence[int]
    """Of the pictures; multiples of 128."""
    precisions: Sequence[str]
    """`float32`, `bfloat16`, `float16`"""
    batches: Sequence[int]
    """Frames at once."""
    repeats: int
    """Runs per median."""
    clip_seconds: float
    """Length of the whole video that is timed; 0: none."""
    compiled: bool
    """Let torch compile what runs for every frame."""
    original: bool
    """Time the original's structure too, in turns with each case."""


@dataclass(frozen=True)
class Case:
    """One way to draw frames."""

    size: int
    precision: str
    batch: int


@dataclass(frozen=True)
class Work:
    """Multiply-adds of one frame, in 1e9."""

    original: float
    """The trained form, the source encoded for every frame."""
    reduced: float
    """The form that is run: nothing is done twice."""
    tiles: float
    """That form with its large convolutions on tiles, as it is run in float32 on a CPU."""


@dataclass(frozen=True)
class Rendered:
    """One case. Times are medians of whole batches, until the frames are bytes in the host's memory."""

    case: Case
    frames_per_second: float
    milliseconds: float
    """Per frame."""
    shared: float | None
    """The same where every frame of the batch is one of another video; None for a single frame."""
    stages: Mapping[str, float]
    """Milliseconds per frame, one after the other: `motion`; `warp` and the layers behind it; `decoder`;
    `bytes`, until they are in the host's memory."""
    first: float
    """Seconds of the first batch: compiling and choosing of kernels is in it."""
    cpu: float
    """Milliseconds of the processor per frame, all threads together; other work disturbs them less."""
    original: float | None
    """Frames per second of the original's structure in float32, two at a time, in turns with this case; on a
    GPU with its convolutions in TF32, which is torch's default."""
    original_cpu: float | None
    """Its milliseconds of the processor per frame."""
    product: float
    """Multiply-adds per second, in 1e12, of a large matrix product of the same type, in turns with this."""
    share: float
    """Multiply-adds per second, of those of that product."""
    largest_error: float
    """Of a picture, 0..1, beside the trained form in float32 on the same device."""
    mean_error: float
    memory: float
    """Peak on the GPU, in 1e9 bytes; 0 on a CPU."""

    @property
    def times_faster(self) -> float | None:
        """Than the original's structure."""
        return self.frames_per_second / self.original if self.original else None

    @property
    def times_less_cpu(self) -> float | None:
        """Than the original's structure."""
        return self.original_cpu / self.cpu if self.original_cpu else None


@dataclass(frozen=True)
class Encoded:
    """The same clip with an encoder behind it, from the mel features on. Seconds."""

    alone: float
    """Encoding frames that are there."""
    after: float
    """Encoding when the last frame is drawn."""
    beside: float
    """Encoding in a thread of its own while frames are drawn."""


@dataclass(frozen=True)
class Clip:
    """A video of a known avatar: its features come from a cache, in 16 bits. Seconds."""

    case: Case
    frames: int
    known: float
    """All frames as bytes in the host's memory, for a recording whose keypoints are known."""
    new: float
    """The same from mel features on, through the audio networks."""
    encoded: Encoded | None
    """None where PyAV and numpy are not installed."""


@dataclass(frozen=True)
class Device:
    """Where it was measured."""

    name: str
    processor: str
    cores: int
    threads: int
    """Of torch, on the CPU."""
    torch: str
    load: float
    """Mean number of processes that wanted a core in the minute before."""


@dataclass(frozen=True)
class Report:
    """A run."""

    device: Device
    stolen: float
    """Part of the cores' time that the host took away meanwhile, 0..1."""
    compiled: bool
    work: Mapping[int, Work]
    """By size."""
    rendered: Sequence[Rendered]
    clips: Sequence[Clip]
    out_of_memory: Sequence[Case]
    """Cases that the device had too little memory for."""
