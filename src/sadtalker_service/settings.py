"""Every knob of the house. Nothing else reads the environment."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings from the environment (names in capitals, e.g. `DATA_DIR`) or from a `.env` file."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    data_dir: Path = Path("~/.local/share/sadtalker").expanduser()
    """Folder for everything that outlives a process: cached avatars, videos, stores."""

    cache_max_bytes: int = Field(2_000_000_000, ge=0)
    """Size of the cache folder, bytes; what was not used for longest goes first."""

    engine: str = "auto"
    """`auto`, `mesh` or the name of an installed engine. `auto` takes the best one that can run here."""

    max_image_bytes: int = Field(20_000_000, ge=1)
    """Largest source image, bytes."""

    max_image_pixels: int = Field(50_000_000, ge=1)
    """Largest source image, width times height in pixels, checked before it is decoded."""

    min_face_pixels: int = Field(64, ge=16)
    """Smallest face height that is animated, pixels."""

    max_audio_bytes: int = Field(50_000_000, ge=1)
    """Largest driven audio, bytes."""

    max_audio_seconds: float = Field(600.0, gt=0)
    """Longest driven audio, seconds; enforced while decoding."""

    max_idle_seconds: float = Field(600.0, gt=0)
    """Longest idle video, seconds."""


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process."""
    return Settings()
