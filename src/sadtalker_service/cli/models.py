"""`sadtalker models`: list, download and verify the checkpoints of the sadtalker engine."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from sadtalker_service.cli.checkpoint_report import (
    as_object,
    echo_findings,
    echo_licences,
    echo_table,
    gigabytes,
)
from sadtalker_service.cli.spelling import SadTalkerCommand
from sadtalker_service.domain import PREPROCESS_MODES, PreprocessMode
from sadtalker_service.engines.registry import best_engine
from sadtalker_service.engines.sadtalker.checkpoints.download import (
    DownloadResult,
    Sources,
    check_room,
    download_checkpoint,
    open_client,
)
from sadtalker_service.engines.sadtalker.checkpoints.table import (
    CHECKPOINTS,
    PICTURE_SIZES,
    Checkpoint,
    PictureSize,
    named,
    needed,
)
from sadtalker_service.engines.sadtalker.checkpoints.transfer import OnProgress, RetryPolicy
from sadtalker_service.engines.sadtalker.checkpoints.verify import (
    Ability,
    Finding,
    State,
    abilities,
    examine,
)
from sadtalker_service.engines.sadtalker.readiness import readiness
from sadtalker_service.errors import EngineUnavailable, InvalidOption
from sadtalker_service.settings import get_settings

_LACKING_EXIT = EngineUnavailable.exit_code
_ENGINE = "sadtalker"


@click.group("models")
def command() -> None:
    """List, download and verify the checkpoints of the sadtalker engine."""


@command.command("list", cls=SadTalkerCommand)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def list_(as_json: bool) -> None:
    """Show every checkpoint, its licence and state, and whether the engine can run."""
    folder = get_settings().checkpoints_folder
    findings = [examine(c, folder / c.file, summed=False) for c in CHECKPOINTS]
    able = abilities(findings)
    obstacle = readiness(folder).obstacle()
    automatic = None if obstacle else best_engine(get_settings())
    if as_json:
        engine = {"obstacle": obstacle, "auto": automatic == _ENGINE}
        click.echo(json.dumps({**as_object(folder, findings, able), "engine": engine}, indent=2))
    else:
        echo_table(folder, findings, able)
        click.echo(_verdict(obstacle, automatic))


@command.command("download", cls=SadTalkerCommand)
@click.argument("names", nargs=-1)
@click.option("--yes", "-y", is_flag=True, help="Accept the licences without asking.")
def download(names: Sequence[str], yes: bool) -> None:
    """Download checkpoints. NAMES are as in the list, or all. Default: those for every mode at 256.

    Existing files stay, and interrupted downloads resume. A file gets its final name once it is complete
    and verified.
    """
    settings = get_settings()
    folder, sources = settings.checkpoints_folder, Sources.of(settings)
    wanted = named(names)
    missing = [c for c in wanted if not examine(c, folder / c.file, summed=False).runs]
    if missing:
        check_room(folder, missing)
        echo_licences(missing)
        _agree(missing, folder, yes=yes)
    pace = RetryPolicy(time.sleep, random.Random(), partial(click.echo, err=True))  # noqa: S311 - spreads waits, not a secret
    with open_client() as client:
        for checkpoint in wanted:
            with _bar(checkpoint) as on_progress:
                came = download_checkpoint(checkpoint, folder, sources, client, pace, on_progress)
            click.echo(f"{checkpoint.file}: {came}{_how_sure(checkpoint, came)}")


@command.command("verify", cls=SadTalkerCommand)
@click.argument("names", nargs=-1)
@click.option("--preprocess", type=click.Choice(PREPROCESS_MODES), help="Check the files for this mode.")
@click.option(
    "--size",
    type=click.Choice([str(size) for size in PICTURE_SIZES]),
    help="Check the files for this size only.",
)
@click.option("--quick", is_flag=True, help="Skip SHA-256, so that your own weights pass.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def verify(
    names: Sequence[str], preprocess: PreprocessMode | None, size: str | None, quick: bool, as_json: bool
) -> None:
    """Verify the checkpoint files and show which mode lacks which file.

    Exits with 0 if all selected files are present and valid: NAMES, or the files for --preprocess and --size.
    Without a selection, exits with 0 if no file is invalid and at least one mode can run. Otherwise exits
    with 3.
    """
    folder = get_settings().checkpoints_folder
    asked = _asked(names, preprocess, size)
    findings = [examine(c, folder / c.file, summed=not quick) for c in asked or CHECKPOINTS]
    everything = findings if not asked else [examine(c, folder / c.file, summed=False) for c in CHECKPOINTS]
    able = abilities(everything)
    if as_json:
        click.echo(json.dumps(as_object(folder, findings, able), indent=2))
    else:
        echo_findings(folder, findings, able)
    if not _fulfilled(findings, able, asked=bool(asked), quick=quick):
        click.get_current_context().exit(_LACKING_EXIT)


def _verdict(obstacle: str | None, automatic: str | None) -> str:
    """`automatic`: the engine that `auto` selects here, if there is no obstacle."""
    if obstacle:
        return f"\nThe {_ENGINE} engine cannot run here: {obstacle}"
    if automatic == _ENGINE:
        return f"\nThe {_ENGINE} engine can run here. ENGINE=auto uses it."
    return (
        f"\nThe {_ENGINE} engine can run here. ENGINE=auto uses {automatic}, because there is no GPU."
        f" ENGINE={_ENGINE} or --engine {_ENGINE} selects it by name."
    )


def _asked(
    names: Sequence[str], preprocess: PreprocessMode | None, size: str | None
) -> tuple[Checkpoint, ...]:
    """The selected checkpoints; empty without a selection."""
    if names and (preprocess or size):
        raise InvalidOption("Give either names or --preprocess and --size, not both.", param="names")
    if names:
        return named(names)
    if not (preprocess or size):
        return ()
    modes: tuple[PreprocessMode, ...] = (preprocess,) if preprocess else PREPROCESS_MODES
    pixels: PictureSize = int(size) if size else PICTURE_SIZES[0]
    return named(dict.fromkeys(c.name for mode in modes for c in needed(mode, pixels)))


def _fulfilled(findings: Sequence[Finding], able: Sequence[Ability], *, asked: bool, quick: bool) -> bool:
    def passes(finding: Finding) -> bool:
        return finding.runs if quick else finding.sound

    if asked:
        return all(passes(finding) for finding in findings)
    wrong = [finding for finding in findings if finding.state is not State.MISSING and not passes(finding)]
    return not wrong and any(not ability.lacking for ability in able)


def _agree(checkpoints: Sequence[Checkpoint], folder: Path, *, yes: bool) -> None:
    sizes = [checkpoint.size for checkpoint in checkpoints]
    more = " and files of unknown size" if None in sizes else ""
    files = ", ".join(checkpoint.file for checkpoint in checkpoints)
    click.echo(f"To download: {files} ({gigabytes(sum(size or 0 for size in sizes))}{more}) into {folder}")
    if yes:
        return
    try:
        agreed = click.confirm("Do you accept these licences?")
    except click.Abort:
        raise InvalidOption(
            "The licences must be accepted. Answer the question, or add --yes.", param="yes"
        ) from None
    if not agreed:
        raise InvalidOption("Nothing was downloaded.", param="yes")


@contextmanager
def _bar(checkpoint: Checkpoint) -> Iterator[OnProgress]:
    """Context manager that shows a progress bar on standard error, if that is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(checkpoint.file, total=checkpoint.size)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _how_sure(checkpoint: Checkpoint, came: DownloadResult) -> str:
    if came is DownloadResult.ALREADY_PRESENT:
        return ""
    if checkpoint.sha256:
        return ", SHA-256 compared"
    return ", structure checked (no SHA-256 of it is publicly known)"
