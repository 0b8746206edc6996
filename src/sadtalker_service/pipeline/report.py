"""What was made, how long it took, and what was left out: all measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Report:
    """A finished video and the work that it took."""

    output: Path
    engine: str
    width: int
    height: int
    fps: int
    frames: int
    video_seconds: float
    """Length of the video."""
    size_bytes: int
    wall_seconds: float
    """From the decoded input to the finished file."""
    seconds: Mapping[str, float]
    """Stage -> seconds. The encoder's stages (`encode`, `sound`, `mux`, `starve`) run beside the others."""
    cache_hits: tuple[str, ...]
    """Kinds of artefacts that came out of the cache."""
    cache_misses: tuple[str, ...]
    """Kinds of artefacts that were computed."""
    saved_seconds: float
    """What computing the artefacts that came out of the cache had cost, less what getting them took."""
    warnings: tuple[str, ...]
    """What was asked for and not applied, and other things worth knowing."""

    @property
    def real_time_factor(self) -> float:
        """Seconds of video made per second of work: above 1 is faster than real time."""
        return self.video_seconds / self.wall_seconds if self.wall_seconds > 0 else float("inf")

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON, the real-time factor among them."""
        values = asdict(self) | {"output": str(self.output), "real_time_factor": self.real_time_factor}
        return {name: _rounded(value) for name, value in values.items()}


def _rounded(value: Any) -> Any:
    """Floating-point numbers to six digits after the point: microseconds are enough."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value
