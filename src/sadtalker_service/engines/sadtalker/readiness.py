"""Which parts of the engine can run here. Checked without torch and without reading a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sadtalker_service.domain import PREPROCESS_MODES, PreprocessMode
from sadtalker_service.engines.sadtalker.checkpoints.fingerprint import fingerprint
from sadtalker_service.engines.sadtalker.checkpoints.table import CHECKPOINTS, PICTURE_SIZES, USUAL
from sadtalker_service.engines.sadtalker.checkpoints.verify import lacking, old_files
from sadtalker_service.extras import how_to_get

_NEEDED_FILES = tuple(c.file for c in CHECKPOINTS if c.name.startswith(("networks-", "mapping-")))


@dataclass(frozen=True)
class Readiness:
    """A folder of checkpoints, and what it is sufficient for."""

    folder: Path
    sizes: tuple[int, ...]
    """Frame sizes at which every mode of `modes` can run."""
    modes: tuple[PreprocessMode, ...]

    @property
    def default_size(self) -> int:
        """The size used if a request names none."""
        return self.sizes[0] if self.sizes else PICTURE_SIZES[0]

    @property
    def full_frame(self) -> bool:
        """Whether the network for the full-frame modes is present."""
        return "full" in self.modes

    def version(self) -> str:
        """Distinguishes artefacts and videos of different sets of checkpoints."""
        return fingerprint(self.folder / name for name in _NEEDED_FILES) + f"-{self.default_size}"

    def obstacle(self) -> str | None:
        """What is missing and what to do, or None if the engine can run."""
        reasons = []
        if not self.sizes:
            usual = ", ".join(
                c.file for c in CHECKPOINTS if c.name in USUAL if not (self.folder / c.file).is_file()
            )
            old = old_files(self.folder)
            first = f" Found {', '.join(old)} from the first release, which is not read." if old else ""
            reasons.append(f"{self.folder} lacks {usual}.{first} Get them with: sadtalker models download.")
        closed = [name for name in _NEEDED_FILES if not _readable(self.folder / name)]
        if closed:
            reasons.append(
                f"This user may not read {', '.join(closed)} in {self.folder}. Change the owner or the mode: "
                "safetensors writes files that only their owner can read."
            )
        if find_spec("torch") is None:
            reasons.append(f"torch is not installed. {how_to_get('sadtalker')}")
        return " ".join(reasons) or None


def _readable(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except FileNotFoundError:
        return True  # that it is missing is said elsewhere
    except OSError:
        return False


def readiness(folder: Path) -> Readiness:
    """What the files in `folder` are sufficient for. Does not read their contents."""
    runnable = {
        size: tuple(mode for mode in PREPROCESS_MODES if not lacking(folder, mode, size))
        for size in PICTURE_SIZES
    }
    sizes = tuple(size for size in PICTURE_SIZES if runnable[size])
    return Readiness(folder, sizes, runnable[sizes[0]] if sizes else ())
