"""Which file holds what, and what is said when it is not there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sadtalker_service.engines.sadtalker.networks.mapping import CLOSE_UP, FULL
from sadtalker_service.errors import EngineUnavailable

SIZES = (256, 512)
"""Picture sizes that the renderer was trained for; each has a file of its own."""

_MAPPING = {CLOSE_UP: "mapping_00229-model.pth.tar", FULL: "mapping_00109-model.pth.tar"}
_OLD = frozenset(
    {
        "epoch_20.pth",
        "auido2exp_00300-model.pth",
        "auido2pose_00140-model.pth",
        "facevid2vid_00189-model.pth.tar",
    }
)
"""Files of the first release (V0.0.1), one network or group of networks each."""


@dataclass(frozen=True)
class CheckpointFolder:
    """A folder with checkpoints under their official names."""

    path: Path

    def networks(self, size: int) -> Path:
        """The file with every network but the mapping, for pictures of 256 or 512."""
        if size not in SIZES:
            raise EngineUnavailable(f"There is no checkpoint for pictures of {size}, only for 256 and 512.")
        return self._existing(f"SadTalker_V0.0.2_{size}.safetensors")

    def mapping(self, coefficients: int) -> Path:
        """The file with the mapping network for 70 coefficients per frame, or 73 (mode `full`)."""
        return self._existing(_MAPPING[coefficients])

    def _existing(self, name: str) -> Path:
        path = self.path / name
        if path.is_file():
            return path
        old = sorted(found.name for found in self.path.glob("*") if is_old(found))
        why = f" {', '.join(old)} there is of the first release, which is not read." if old else ""
        raise EngineUnavailable(
            f"The checkpoint {path} is missing.{why} Get it with: sadtalker models download"
        )


def is_old(path: Path) -> bool:
    """Whether a file has a name of the first release."""
    return path.name in _OLD
