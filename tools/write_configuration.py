"""Write docs/configuration.md, the table of every setting, from `sadtalker_service.settings`.

python tools/write_configuration.py             # or: make docs
"""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from sadtalker_service.settings import Settings

TARGET = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"

HEADER = """\
# Configuration

<!-- Written by `make docs` from src/sadtalker_service/settings.py; do not edit. -->

Every setting has a default that works. To change one, set it in the environment or in a file `.env` in the
folder where the command runs; the environment wins. A value outside its range is refused at the start.

    MAX_AUDIO_SECONDS=120 sadtalker generate --source_image me.jpg --driven_audio me.wav --output me.mp4

| name | value | range | default | meaning |
|---|---|---|---|---|
"""

UNITS = ("bytes", "pixels", "seconds", "degrees", "percent")
"""The last word of a numeric setting's name is its unit, where it has one."""

KINDS: dict[type, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
}


def main() -> None:
    TARGET.write_text(page())
    print(TARGET)


def page() -> str:
    """The whole page."""
    return HEADER + "".join(row(name, field) for name, field in Settings.model_fields.items())


def row(name: str, field: FieldInfo) -> str:
    """One setting as a row of the table; ValueError when it says nothing of itself."""
    if not field.description:
        raise ValueError(f"the setting {name} has no docstring")
    meaning = " ".join(field.description.split())
    cells = (
        f"`{name.upper()}`",
        value(name, field.annotation),
        span(field),
        default(field.get_default()),
        meaning,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def value(name: str, annotation: Any) -> str:
    """What kind of value it takes, with its unit."""
    kinds = [kind for kind in alternatives(annotation) if kind is not type(None)]
    unit = name.rsplit("_", 1)[-1]
    if unit in UNITS:
        return unit
    return " or ".join(f"`{kind}`" if isinstance(kind, str) else KINDS[kind] for kind in kinds)


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """The members of a union or the words of a Literal; one alternative otherwise."""
    if get_origin(annotation) in (Literal, types.UnionType):
        return get_args(annotation)
    return (annotation,)


def span(field: FieldInfo) -> str:
    """The bounds of a number, e.g. `>= 1, <= 5`."""
    bounds = []
    for rule in field.metadata:
        match rule:
            case Ge(ge=limit):
                bounds.append(f">= {number(limit)}")
            case Gt(gt=limit):
                bounds.append(f"> {number(limit)}")
            case Le(le=limit):
                bounds.append(f"<= {number(limit)}")
            case Lt(lt=limit):
                bounds.append(f"< {number(limit)}")
    return ", ".join(bounds)


def default(found: Any) -> str:
    """A default as one would write it in the environment; the home folder as `~`."""
    match found:
        case None | "":
            return "none"
        case bool():
            return f"`{str(found).lower()}`"
        case int() | float():
            return f"`{number(found)}`"
        case Path() if found.is_relative_to(Path.home()):
            return f"`~/{found.relative_to(Path.home())}`"
    return f"`{found}`"


def number(found: Any) -> str:
    """600.0 as 600."""
    return str(int(found)) if float(found).is_integer() else str(found)


if __name__ == "__main__":
    main()
