"""The checkpoint reports of `sadtalker models`, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from sadtalker_service.engines.sadtalker.checkpoints.table import PICTURE_SIZES, Checkpoint, Licence
from sadtalker_service.engines.sadtalker.checkpoints.verify import Ability, Finding, State, old_files

_WORDS = {
    State.PUBLISHED: "verified by SHA-256",
    State.FITTING: "present",
    State.OTHER: "not the published file",
    State.DAMAGED: "damaged",
    State.MISSING: "missing",
}


def echo_table(folder: Path, findings: Sequence[Finding], able: Sequence[Ability]) -> None:
    """Print every checkpoint, then the licences, then the modes that can run."""
    click.echo(f"Checkpoints in {folder}\n")
    for finding in findings:
        checkpoint = finding.checkpoint
        click.echo(f"{checkpoint.name}: {_state(finding)}")
        size = gigabytes(checkpoint.size) if checkpoint.size else "size unknown"
        click.echo(f"    {checkpoint.file}, {size}: {checkpoint.purpose}")
        click.echo(f"    {checkpoint.url}")
        click.echo(f"    SHA-256 {checkpoint.sha256 or 'unknown'}\n")
    echo_licences([finding.checkpoint for finding in findings])
    _echo_modes(folder, able)


def echo_findings(folder: Path, findings: Sequence[Finding], able: Sequence[Ability]) -> None:
    """Print a line per checkpoint, then the modes that can run."""
    for finding in findings:
        click.echo(f"{finding.checkpoint.file}: {_state(finding)}")
    _echo_modes(folder, able)


def echo_licences(checkpoints: Sequence[Checkpoint]) -> None:
    """Print each licence once, with the files that it covers."""
    under: dict[Licence, list[str]] = {}
    for checkpoint in checkpoints:
        under.setdefault(checkpoint.licence, []).append(checkpoint.file)
    for licence, files in under.items():
        click.echo(f"{', '.join(files)}\n    licence: {licence.name}, {licence.url}")
        click.echo(f"    commercial use: {licence.commercial}: {licence.reason}\n")


def as_object(folder: Path, findings: Sequence[Finding], able: Sequence[Ability]) -> dict[str, Any]:
    """The complete report as a JSON-compatible object."""
    return {
        "folder": str(folder),
        "checkpoints": [
            {
                "name": finding.checkpoint.name,
                "file": finding.checkpoint.file,
                "purpose": finding.checkpoint.purpose,
                "url": finding.checkpoint.url,
                "size": finding.checkpoint.size,
                "sha256": finding.checkpoint.sha256,
                "licence": finding.checkpoint.licence.name,
                "licence_url": finding.checkpoint.licence.url,
                "commercial_use": finding.checkpoint.licence.commercial,
                "commercial_use_reason": finding.checkpoint.licence.reason,
                "state": finding.state,
                "reason": finding.reason,
            }
            for finding in findings
        ],
        "modes": [
            {"preprocess": ability.preprocess, "size": ability.size, "lacking": list(ability.lacking)}
            for ability in able
        ],
        "not_read": list(old_files(folder)),
    }


def gigabytes(size: int) -> str:
    """A number of bytes as readable text, in GB or MB."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _state(finding: Finding) -> str:
    return _WORDS[finding.state] + (f": {finding.reason}" if finding.reason else "")


def _echo_modes(folder: Path, able: Sequence[Ability]) -> None:
    if old := old_files(folder):
        click.echo(f"{', '.join(old)}: from SadTalker's first release, which is not supported.")
    for size in PICTURE_SIZES:
        here = [ability for ability in able if ability.size == size]
        for lacking in dict.fromkeys(ability.lacking for ability in here):
            modes = ", ".join(ability.preprocess for ability in here if ability.lacking == lacking)
            click.echo(f"{modes} at {size}: {'lacks ' + ' and '.join(lacking) if lacking else 'can run'}")
