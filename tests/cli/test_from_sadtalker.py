"""Every option of SadTalker's `inference.py` is taken, and the page for those who move over is true."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sadtalker_service.api.upload.forms import FORM_DEFAULTS
from sadtalker_service.cli.generate import command
from sadtalker_service.cli.leftovers import LEFTOVERS, Leftover, leftover_options, leftover_warnings
from sadtalker_service.cli.spelling import SadTalkerCommand

REPOSITORY = Path(__file__).resolve().parents[2]

SADTALKER = frozenset(
    re.findall(
        r"\w+",
        """
        source_image driven_audio ref_eyeblink ref_pose checkpoint_dir result_dir pose_style batch_size size
        expression_scale input_yaw input_pitch input_roll enhancer background_enhancer cpu face3dvis still
        preprocess verbose old_version net_recon init_path use_last_fc bfm_folder bfm_model focal center
        camera_d z_near z_far
        """,
    )
)
"""Options of `inference.py` of V0.0.2."""


def rows() -> dict[str, tuple[str, str, str]]:
    """Option -> SadTalker's default, ours, and the remark, as the page has them."""
    page = (REPOSITORY / "docs/from-sadtalker.md").read_text()
    found = re.findall(r"^\| `--(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", page, re.MULTILINE)
    return {name: (theirs, ours, remark) for name, theirs, ours, remark in found}


def options() -> dict[str, click.Option]:
    return {p.name or "": p for p in command.params if isinstance(p, click.Option)}


@pytest.fixture(scope="module")
def defaults() -> dict[str, object]:
    """What the command is given where only a source image is."""
    source_image = str(REPOSITORY / "examples/portrait.jpg")
    params = command.make_context("generate", ["--source_image", source_image]).params
    return {**params, "source_image": "required", "size": params["size"] or "the engine's"}


def shown(value: object, name: str) -> str:
    """A default as the page writes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "none"
    return f"`{value}`" if name in {"preprocess", "result_dir"} else str(value)


def test_page_has_every_option_of_sadtalker() -> None:
    assert set(rows()) == SADTALKER
    assert options().keys() >= SADTALKER


@pytest.mark.parametrize("name", sorted(SADTALKER))
def test_page_has_the_defaults_of_the_command(name: str, defaults: dict[str, object]) -> None:
    assert rows()[name][1] == shown(defaults.get(name), name)


def test_page_names_every_option_that_sadtalker_has_not() -> None:
    page = (REPOSITORY / "docs/from-sadtalker.md").read_text().partition("## Additional options")[2]
    ours = {option.opts[0].removeprefix("--") for option in options().values()} - SADTALKER
    assert {name for name in ours if f"`--{name}`" not in page} == set()


def test_page_says_of_all_that_has_no_effect_that_it_has_none() -> None:
    useless = {name for name, (_, _, remark) in rows().items() if "no effect" in remark}
    assert useless == {leftover.name for leftover in LEFTOVERS} | {"face3dvis"}


def test_service_and_command_line_have_the_same_defaults(defaults: dict[str, object]) -> None:
    for name in ("preprocess", "still", "pose_style", "expression_scale", "quality", "fps", "seed"):
        assert defaults[name] == getattr(FORM_DEFAULTS, name), name


@click.command("echo", cls=SadTalkerCommand)
@leftover_options
@click.pass_context
def echo(ctx: click.Context) -> None:
    for warning in leftover_warnings(ctx):
        click.echo(warning)


@pytest.mark.parametrize("leftover", LEFTOVERS, ids=lambda leftover: leftover.name)
def test_useless_option_is_taken_with_the_reason(leftover: Leftover) -> None:
    for spelling in (leftover.name, leftover.name.replace("_", "-")):
        words = [f"--{spelling}", *([] if leftover.is_flag else ["5"])]
        ended = CliRunner().invoke(echo, words)
        assert ended.exit_code == 0, ended.output
        (line,) = ended.output.splitlines()
        assert line.startswith(f"{leftover.name} has no effect: ")
        assert len(line) > 60, "a reason"
    assert CliRunner().invoke(echo, []).output == ""


def test_useless_options_are_in_no_help() -> None:
    text = CliRunner().invoke(command, ["--help"]).output
    assert [leftover.name for leftover in LEFTOVERS if leftover.name in text] == []
