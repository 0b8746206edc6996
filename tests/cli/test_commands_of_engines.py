"""Engines add commands of their own to `sadtalker` by an entry point."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sadtalker_service.cli import main


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package whose command `paint` is the object called `command` in the code given."""

    def put(code: str) -> None:
        (tmp_path / "paint_command.py").write_text(code)
        info = tmp_path / "paint_engine-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paint-engine\nVersion: 1.0\n")
        points = "[sadtalker_service.commands]\npaint = paint_command:command\n"
        (info / "entry_points.txt").write_text(points)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "paint_command", raising=False)

    return put


def run(*args: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(args)
    return ended.value.code


def test_a_command_of_an_engine_is_listed_and_run(install, capsys: pytest.CaptureFixture[str]) -> None:
    install("import click\n@click.command()\ndef command():\n    click.echo('painted')\n")
    assert run("--help") == 0
    assert "paint      Added by paint-engine." in capsys.readouterr().out
    assert "paint_command" not in sys.modules
    assert run("paint") == 0
    assert capsys.readouterr().out == "painted\n"


def test_an_entry_point_that_is_not_a_command_is_refused(install, capsys: pytest.CaptureFixture[str]) -> None:
    install("command = 'paint'\n")
    assert run("paint") == 1
    assert "paint_command:command is not a command" in capsys.readouterr().err
