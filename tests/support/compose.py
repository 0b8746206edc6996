"""Read compose files like `docker compose`: substitute variables and merge files in their order.

Implements only the rules of the Compose Specification that this project's files need, and rejects everything
else. tests/deploy/test_compose_tool.py compares the result with that of the real program.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

_VARIABLE = re.compile(r"\$(?:\{(?P<name>\w+):-(?P<default>[^${}]*)\}|(?P<other>.?))")
_REPLACED = frozenset({"command", "entrypoint", "test"})
"""Lists that a later file replaces. All other lists are merged."""


def read_compose(files: Sequence[Path], variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the merged files, as `docker compose -f FILE -f FILE config` reads them."""
    merged: dict[str, Any] = {}
    for file in files:
        merged = _merged(merged, _prepared(yaml.safe_load(file.read_text()), variables))
    return {name: value for name, value in merged.items() if not name.startswith("x-")}


def _prepared(found: Any, variables: Mapping[str, str]) -> dict[str, Any]:
    document: dict[str, Any] = _with_values(found, variables)
    for service in document["services"].values():
        if isinstance(service.get("build"), str):
            service["build"] = {"context": service["build"]}
        environment = service.get("environment", {})
        # a name without a value takes that of the shell, or is left out if there is none
        service["environment"] = {
            name: variables.get(name) if value is None else value
            for name, value in environment.items()
            if value is not None or name in variables
        }
    return document


def _with_values(found: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(found, dict):
        return {key: _with_values(value, variables) for key, value in found.items()}
    if isinstance(found, list):
        return [_with_values(value, variables) for value in found]
    return _expanded(found, variables) if isinstance(found, str) else found


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match["name"] is None:
            raise ValueError(f"Only ${{NAME:-default}} is supported, not {text!r}.")
        return variables.get(match["name"]) or match["default"]

    return _VARIABLE.sub(value, text)


def _merged(earlier: dict[str, Any], later: dict[str, Any], at: str = "") -> dict[str, Any]:
    merged = dict(earlier)
    for name, value in later.items():
        before = merged.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            merged[name] = _merged(before, value, name)
        elif isinstance(before, list) and isinstance(value, list) and name not in _REPLACED:
            merged[name] = _together(before, value, name, at)
        else:
            merged[name] = value
    return merged


def _together(before: list[Any], value: list[Any], name: str, service: str) -> list[Any]:
    if name == "volumes":
        targets = [str(volume).split(":")[1] for volume in (*before, *value)]
        if len(set(targets)) < len(targets):
            raise ValueError(f"{service}: two files mount on one folder, which is not supported.")
    return [*before, *(entry for entry in value if entry not in before)]
