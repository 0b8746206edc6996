"""A folder of checkpoints under their official names, with an error message for each missing file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sadtalker_service.engines.sadtalker.checkpoints.table import OLD_FILES, PICTURE_SIZES, by_name
from sadtalker_service.engines.sadtalker.checkpoints.verify import old_files
from sadtalker_service.errors import EngineUnavailable

_MAPPING = {70: "mapping-crop", 73: "mapping-full"}


@dataclass(frozen=True)
class CheckpointFolder:
    """Paths of the files that the engine reads. Raises `EngineUnavailable` if a file is missing."""

    path: Path

    def networks(self, size: int) -> Path:
        """The file with every network except the mapping, for frames of 256 or 512."""
        if size not in PICTURE_SIZES:
            raise EngineUnavailable(f"There is no checkpoint for pictures of {size}, only for 256 and 512.")
        return self._existing(f"networks-{size}")

    def mapping(self, coefficients: int) -> Path:
        """The file with the mapping network for 70 coefficients per frame, or 73 (`full`, `extfull`)."""
        return self._existing(_MAPPING[coefficients])

    def _existing(self, name: str) -> Path:
        path = self.path / by_name(name).file
        if path.is_file():
            return path
        old = old_files(self.path)
        why = f" Found {', '.join(old)} from the first release, which is not read." if old else ""
        raise EngineUnavailable(
            f"The checkpoint {path} is missing.{why} Get it with: sadtalker models download"
        )


def is_old(path: Path) -> bool:
    """Whether a file has a name from the first release."""
    return path.name in OLD_FILES
