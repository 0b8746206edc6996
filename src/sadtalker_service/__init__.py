"""A portrait and a speech recording become a talking-head video."""

from importlib.metadata import version

__version__ = version("sadtalker-service")
