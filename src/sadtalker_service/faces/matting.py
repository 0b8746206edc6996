"""The three functions of pymatting that cut out a person, without the rest of the package.

Importing the package itself compiles all of its kernels, which takes a minute on a new machine. The modules
of these three take ten seconds, and a second once they are compiled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGE = "pymatting"
_FOLDERS = ("alpha", "foreground", "laplacian", "preconditioner", "solver", "util")


@dataclass(frozen=True)
class Matting:
    """Functions of pymatting, with its own signatures."""

    estimate_alpha: Callable[..., Any]
    incomplete_cholesky: Callable[..., Any]
    estimate_foreground: Callable[..., Any]


@lru_cache(maxsize=1)
def load_matting() -> Matting:
    """Import the functions, and compile them if that was not done on this machine.

    Raises `ModuleNotFoundError` if pymatting is not installed.
    """
    if _PACKAGE not in sys.modules:
        _enter_without_running_it()
    return Matting(
        import_module(f"{_PACKAGE}.alpha.estimate_alpha_cf").estimate_alpha_cf,
        import_module(f"{_PACKAGE}.preconditioner.ichol").ichol,
        import_module(f"{_PACKAGE}.foreground.estimate_foreground_ml").estimate_foreground_ml,
    )


def _enter_without_running_it() -> None:
    """Register the package and its folders as imported, so that only the wanted modules run."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"No module named {_PACKAGE!r}", name=_PACKAGE)
    root = Path(next(iter(spec.submodule_search_locations)))
    places = {_PACKAGE: root, **{f"{_PACKAGE}.{name}": root / name for name in _FOLDERS}}
    for name, folder in places.items():
        module = ModuleType(name)
        module.__path__ = [str(folder)]
        sys.modules[name] = module
