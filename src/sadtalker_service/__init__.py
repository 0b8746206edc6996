"""A portrait and a speech recording become a talking-head video."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("sadtalker-service")
except PackageNotFoundError:  # run from its source: on a bare GPU machine nothing is installed
    __version__ = "0+source"
