"""The settings of a command: the environment's, with what was given as an option in their place."""

from __future__ import annotations

from pydantic import ValidationError

from sadtalker_service.errors import InvalidOption
from sadtalker_service.settings import Settings


def settings_with(**options: object) -> Settings:
    """The settings; options that are None were not given. Raises `InvalidOption`, naming each wrong one."""
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise InvalidOption(f"A setting cannot be used: {wrong}.") from error
