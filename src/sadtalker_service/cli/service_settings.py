"""The settings of a command: the environment, overridden by command-line options."""

from __future__ import annotations

from pydantic import ValidationError

from sadtalker_service.errors import InvalidOption
from sadtalker_service.settings import Settings


def settings_with(**options: object) -> Settings:
    """The settings. An option that is None is not given. Raises `InvalidOption`, naming each invalid one."""
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise InvalidOption(f"A setting cannot be used: {wrong}.") from error
