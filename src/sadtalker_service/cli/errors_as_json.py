"""Errors of a command that prints JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import click

from sadtalker_service.errors import SadTalkerError


@contextmanager
def errors_as_json(*, wanted: bool) -> Iterator[None]:
    """Context manager that also prints an error as JSON on standard output, and raises it again."""
    try:
        yield
    except SadTalkerError as error:
        if wanted:
            facts = {"code": error.code, "message": error.message, "param": error.param}
            click.echo(json.dumps({"error": {**facts, "retryable": error.retryable}}))
        raise
