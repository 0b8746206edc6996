"""The `sadtalker` command."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from sadtalker_service import __version__
from sadtalker_service.cli.lazy import LazyGroup
from sadtalker_service.errors import SadTalkerError

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 plus the number of SIGINT, as in other programs."""


@click.group(
    cls=LazyGroup,
    commands_at={
        "generate": ("sadtalker_service.cli.generate", "Make a talking-head video from an image and audio."),
        "sheet": (
            "sadtalker_service.cli.sheet",
            "Draw the mouth shapes, blinks and poses of a source image.",
        ),
        "say": ("sadtalker_service.cli.say", "Speak a text into a sound file, or list the voices."),
        "serve": ("sadtalker_service.cli.serve", "Run the service: stores, API and workers."),
        "remote": ("sadtalker_service.cli.remote", "Use a service that runs elsewhere."),
        "worker": ("sadtalker_service.cli.worker", "Run a worker for a service that runs elsewhere."),
        "live": ("sadtalker_service.cli.live", "Carry live sessions for a service that runs elsewhere."),
        "inference": (
            "sadtalker_service.cli.inference",
            "Run the networks of the sadtalker engine for all workers on this machine.",
        ),
        "models": (
            "sadtalker_service.cli.models",
            "List, download and verify the checkpoints of the sadtalker engine.",
        ),
        "bench": ("sadtalker_service.cli.bench", "Measure the speed of an engine on this machine."),
        "warmup": (
            "sadtalker_service.cli.warmup",
            "Compile and load everything in advance, so that no video waits for it.",
        ),
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="sadtalker")
def sadtalker() -> None:
    """Make talking-head videos from a source image and driven audio."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 success, 2 bad input, 130 Ctrl-C, others as in `errors`."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = sadtalker.main(arguments, prog_name="sadtalker", standalone_mode=False)
    except SadTalkerError as error:
        code = _print_error(error.message, error.exit_code)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "sadtalker"
        code = _print_error(f"{error.format_message()} See `{command} --help`.", error.exit_code)
    except click.ClickException as error:
        code = _print_error(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        code = _print_error("interrupted.", INTERRUPTED)
    gc.freeze()  # the last collections of the interpreter would walk through all models: 0.3 s
    sys.exit(code if isinstance(code, int) else 0)


def _print_error(message: str, code: int) -> int:
    line = " ".join(message.split())
    click.echo(f"sadtalker: {line}", err=True)
    return code


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    """Exit through the same cleanup as after Ctrl-C, so that no partial file stays."""
    raise SystemExit(128 + number)
