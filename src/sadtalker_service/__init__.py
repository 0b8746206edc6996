"""A source image and a speech recording become a talking-head video.

    from sadtalker_service import RenderOptions, load_engine, make_video

Importing this loads nothing; what is named here is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sadtalker_service.engines.registry import load_engine
    from sadtalker_service.options import RenderOptions
    from sadtalker_service.pipeline.from_files import make_video

try:
    __version__ = version("sadtalker-service")
except PackageNotFoundError:  # run from its source: on a bare GPU machine nothing is installed
    __version__ = "0+source"

__all__ = ["RenderOptions", "__version__", "load_engine", "make_video"]

_PLACES = {
    "RenderOptions": "sadtalker_service.options",
    "load_engine": "sadtalker_service.engines.registry",
    "make_video": "sadtalker_service.pipeline.from_files",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for by name. Raises `AttributeError`."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
