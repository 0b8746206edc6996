"""Results of the stages: artefacts, avatars, motion, and the frames of a video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain.values import PreprocessMode, Uint8Image


@dataclass(frozen=True, eq=False)
class Artefact:
    """The result of one stage: named arrays and a small JSON record. Serialisable and self-contained."""

    arrays: Mapping[str, NDArray[Any]]
    record: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """JSON values only."""
    seconds: float = 0.0
    """Time it took to compute, 0 if not measured. The code that fills a cache sets it."""

    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(int(a.nbytes) for a in self.arrays.values())


@dataclass(frozen=True, eq=False)
class Avatar:
    """A source image after every stage of an engine, with everything that driving and rendering need."""

    image_hash: str
    engine: str
    mode: PreprocessMode
    artefacts: Mapping[str, Artefact]
    """Stage name -> artefact."""
    face_index: int = 0
    """Which of the source image's faces it is."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was guessed or left out in the preparation, from `warnings` in the artefacts' records."""
        said = (line for artefact in self.artefacts.values() for line in artefact.record.get("warnings", ()))
        return tuple(dict.fromkeys(said))


@dataclass(frozen=True, eq=False)
class Motion:
    """Per-frame coefficients of an engine, of a video or a window of it. Independent of pixels."""

    fps: int
    coefficients: Mapping[str, NDArray[np.float32]]
    """Named arrays, each float32 (F, ...)."""
    record: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def frames(self) -> int:
        """Number of frames F."""
        return len(next(iter(self.coefficients.values())))

    @classmethod
    def joined(cls, windows: Iterable[Motion]) -> Motion:
        """The motion of a whole video from all of its windows, at least one."""
        parts = list(windows)
        arrays = {
            name: np.concatenate([part.coefficients[name] for part in parts])
            for name in parts[0].coefficients
        }
        return cls(parts[0].fps, arrays, parts[-1].record)


@dataclass(frozen=True, eq=False)
class Rendering:
    """A video to be encoded: a constant background with one rectangle that changes.

    Frame i is `background` with rows y0:y1 and columns x0:x1 replaced by the i-th image of `batches`.
    Outside the box every frame equals the background bit for bit, and costs nothing.
    """

    background: Uint8Image
    """uint8 (H, W, 3) RGB, or (H, W, 4) RGBA of a person who was cut out; H and W are even."""
    box: tuple[int, int, int, int]
    """(x0, y0, x1, y1), all even, inside the background; the whole background if everything moves."""
    fps: int
    frames: int | None
    """None if it is not known before the last batch, because the motion comes in windows."""
    batches: Iterator[Uint8Image]
    """uint8 (n, y1 - y0, x1 - x0, 3 or 4 as in `background`), n >= 1. A batch is valid until the next one is
    requested."""
