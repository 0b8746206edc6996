"""`sadtalker remote`: use a service that runs elsewhere, with the options of `sadtalker generate`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import click
from click.core import ParameterSource

from sadtalker_service.cli.errors_as_json import errors_as_json
from sadtalker_service.cli.options import (
    FILE,
    IMAGE_HELP,
    OUTPUT_OPTIONS,
    SPEECH_OPTIONS,
    decorated,
    picture_of,
    video_options,
)
from sadtalker_service.cli.output_file import output_file, read_transcript
from sadtalker_service.cli.progress_bar import progress_bar
from sadtalker_service.cli.spelling import SadTalkerCommand
from sadtalker_service.client import Avatar, Client, Lane, Retries, Session, VideoOptions
from sadtalker_service.client.operations import LONGEST_WAIT
from sadtalker_service.client.transport import DEFAULT_URL
from sadtalker_service.domain import PREPROCESS_MODES, SHA256, Progress
from sadtalker_service.errors import InvalidOption
from sadtalker_service.files import output_errors
from sadtalker_service.options import RenderOptions
from sadtalker_service.options.render_options import COMMAND_ONLY, NONE, OPTION_SCHEMA

_LOCAL_ONLY = frozenset(name for name, schema in OPTION_SCHEMA.items() if COMMAND_ONLY in schema)
_FIELDS = {"preprocess": "preprocess_mode"}
"""Option -> field of the API, where the names differ."""

_OWN = (
    "engine",
    "ref_eyeblink",
    "ref_pose",
    "background_file",
    "text",
    "voice",
    "language",
    "rate",
    "transcript",
)
"""Fields of the API that are no video options."""

_RETRIES = Retries(attempts=3)
"""Fewer than by default: a person waits."""
_CONNECTION = (
    click.option(
        "--url",
        envvar="SADTALKER_URL",
        default=DEFAULT_URL,
        show_default=True,
        help="Address of the service. Also SADTALKER_URL.",
    ),
    click.option("--api_key", envvar="SADTALKER_API_KEY", help="API key. Better set SADTALKER_API_KEY."),
    click.option("--json", "as_json", is_flag=True, help="Print the service's answer as JSON."),
)
_LANE = click.option(
    "--lane",
    type=click.Choice(["standard", "vip"]),
    default="standard",
    show_default=True,
    help="Lane of the request. vip is served first.",
)
_WHICH_AVATAR = (
    click.option("--preprocess", type=click.Choice(PREPROCESS_MODES), default="full", show_default=True),
    click.option("--face_index", type=click.IntRange(min=0), default=0, show_default=True),
)
_WAIT = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Wait so long for the end of the work.",
)
_WAIT_AT_MOST = click.option(
    "--wait",
    type=click.FloatRange(0, LONGEST_WAIT),
    default=0.0,
    metavar="SECONDS",
    help="Wait so long for the end of the work, at most 60.",
)
_TIMEOUT = click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait so long for the video, at most.",
)
_VIDEO_FILES = (
    click.option("--source_image", type=FILE, help=IMAGE_HELP),
    click.option("--image_id", metavar="ID", help="An uploaded source image, instead of --source_image."),
    *SPEECH_OPTIONS,
    click.option("--engine", metavar="NAME", help="Engine of the service [default: the service's]."),
    click.option("--ref_eyeblink", type=FILE, help="Video to copy the blinks from (neural engines)."),
    click.option("--ref_pose", type=FILE, help="Video to copy the head motion from (neural engines)."),
    click.option("--idempotency_key", metavar="TEXT", help="Name of the request: sent twice, it runs once."),
    click.option("--detach", is_flag=True, help="Do not wait for the video; print its session and end."),
)

_EXAMPLES = """\b
Examples:
  sadtalker remote generate --source_image me.jpg --driven_audio hello.wav --output talking.mp4
  sadtalker remote generate --source_image me.jpg --text "Hello!" --voice bf_emma --captions track
  sadtalker remote upload --source_image me.jpg --preprocess crop --wait 60
  sadtalker remote generate --image_id ID --preprocess crop --driven_audio hello.wav --detach
  sadtalker remote status ID --wait 60
  sadtalker remote download SESSION_ID --output talking.mp4
"""


def _with(*options: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return lambda function: decorated(function, [*options, *_CONNECTION])


@contextmanager
def _service(given: dict[str, Any]) -> Iterator[Client]:
    """Context manager with a client. Takes the options of the connection out of `given`."""
    url, key = given.pop("url"), given.pop("api_key")
    with (
        errors_as_json(wanted=given["as_json"]),
        Client(url, api_key=key or None, retries=_RETRIES) as client,
    ):
        yield client


@click.group("remote", epilog=_EXAMPLES)
def command() -> None:
    """Use a service that runs elsewhere."""


@command.command("upload", cls=SadTalkerCommand)
@_with(click.option("--source_image", type=FILE, required=True, help=IMAGE_HELP), *_WHICH_AVATAR, _WAIT)
def upload(source_image: Path, preprocess: Any, face_index: int, wait: float, **given: Any) -> None:
    """Upload a source image and print its id."""
    with _service(given) as client:
        avatar = client.upload(source_image, preprocess_mode=preprocess, face_index=face_index)
        if wait and avatar.status == "processing":
            avatar = client.wait_avatar(avatar, timeout=wait)
    _show(avatar, as_json=given["as_json"])


@command.command("generate", cls=SadTalkerCommand)
@_with(*_VIDEO_FILES, *OUTPUT_OPTIONS, _LANE, _TIMEOUT, *video_options(without=_LOCAL_ONLY))
def generate(
    source_image: Path | None,
    image_id: str | None,
    driven_audio: Path | None,
    captions_file: Path | None,
    output: Path | None,
    result_dir: Path,
    lane: Lane,
    timeout: float,
    idempotency_key: str | None,
    detach: bool,
    **given: Any,
) -> None:
    """Make a talking-head video with the service, and download it."""
    with _service(given) as client:
        options = _options(given)
        if (source_image is None) == (image_id is None):
            raise InvalidOption("Give either --source_image or --image_id.", param="source_image")
        path = None if detach else output_file(output, result_dir, driven_audio, _container(options))
        session = client.generate(
            _avatar(client, source_image, image_id, options),
            driven_audio,
            lane=lane,
            idempotency_key=idempotency_key,
            **options,
        )
        if path:
            session = _downloaded(client, session, path, timeout, quiet=given["as_json"])
            if captions_file:
                _write_captions(client, session, captions_file)
    for warning in session.warnings:
        click.echo(f"warning: {warning}", err=True)
    _show(session, path, as_json=given["as_json"])


@command.command("status", cls=SadTalkerCommand)
@click.argument("id_", metavar="ID")
@_with(*_WHICH_AVATAR, _LANE, _WAIT_AT_MOST)
def status(id_: str, preprocess: Any, face_index: int, lane: Lane, wait: float, **given: Any) -> None:
    """Show the state of a session, or of a source image, by its id."""
    with _service(given) as client:
        found: Avatar | Session
        if _is_image(id_):
            found = client.avatar(id_, preprocess_mode=preprocess, face_index=face_index, wait=wait)
        else:
            found = client.status(id_, lane=lane, wait=wait)
    _show(found, as_json=given["as_json"])


@command.command("download", cls=SadTalkerCommand)
@click.argument("session_id", metavar="SESSION_ID")
@_with(*OUTPUT_OPTIONS, _LANE, _TIMEOUT)
def download(
    session_id: str, output: Path | None, result_dir: Path, lane: Lane, timeout: float, **given: Any
) -> None:
    """Wait for the video of a session and download it."""
    with _service(given) as client:
        session = client.status(session_id, lane=lane)
        path = output_file(output, result_dir, None, _container(session.record["settings"]))
        session = _downloaded(client, session, path, timeout, quiet=given["as_json"])
    _show(session, path, as_json=given["as_json"])


@command.command("delete", cls=SadTalkerCommand)
@click.argument("id_", metavar="ID")
@_with(_LANE)
def delete(id_: str, lane: Lane, **given: Any) -> None:
    """Delete a source image with all its videos, or cancel a session, by its id."""
    with _service(given) as client:
        if _is_image(id_):
            client.delete_avatar(id_)
            state = "deleted"
        else:
            state = client.cancel(id_, lane=lane)
    click.echo(json.dumps({"id": id_, "status": state}) if given["as_json"] else f"{id_}: {state}")


def _downloaded(client: Client, session: Session, path: Path, timeout: float, *, quiet: bool) -> Session:
    """The session, whose video is in `path`. Shows progress at a terminal. Raises what `Client` raises."""
    with progress_bar(wanted=not quiet) as listener:
        end = time.monotonic() + timeout
        for moment in client.follow(session) if listener else ():
            if listener and moment.progress:
                p = moment.progress
                listener(Progress(p.stage, p.frame, p.total, p.fps, p.eta_seconds))
            if time.monotonic() > end:
                break
        session = client.wait(session, timeout=timeout)
    client.download(session, path, timeout=timeout)
    return session


def _write_captions(client: Client, session: Session, path: Path) -> None:
    text = client.captions(session, format="vtt" if path.suffix.lower() == ".vtt" else "srt")
    with output_errors(path):
        path.write_text(text, encoding="utf-8")


def _avatar(
    client: Client, source_image: Path | None, image_id: str | None, options: VideoOptions
) -> Avatar | str:
    if source_image is None:
        return image_id or ""
    mode, face = options.get("preprocess_mode", "full"), options.get("face_index", 0)
    return client.upload(source_image, preprocess_mode=mode, face_index=face)


def _options(given: dict[str, Any]) -> VideoOptions:
    """The options of the command line; the others have the service's defaults. As in `sadtalker generate`,
    there is no enhancer by default. Raises `InvalidOption`."""
    source = click.get_current_context().get_parameter_source
    written = {name: given[name] for name in given if source(name) is ParameterSource.COMMANDLINE}
    texts = {name: written[name] for name in OPTION_SCHEMA if name in written}
    picture = picture_of(texts)
    if picture:
        written["background_file"] = picture
    RenderOptions(**texts)  # what is wrong is said before anything is sent
    fields = {_FIELDS.get(name, name): value for name, value in texts.items()}
    own = {name: written[name] for name in _OWN if name in written}
    if path := own.get("transcript"):
        own["transcript"] = read_transcript(path)
    return cast(VideoOptions, {"enhancer": NONE, **fields, **own})


def _container(options: Mapping[str, Any]) -> str:
    """Format of the file with these options."""
    given = {name: options[name] for name in ("background", "format") if name in options}
    return RenderOptions(**given).container


def _is_image(id_: str) -> bool:
    return SHA256.fullmatch(id_) is not None


def _show(found: Avatar | Session, path: Path | None = None, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**found.record, **({"output": str(path)} if path else {})}))
        return
    name = found.session_id if isinstance(found, Session) else found.image_id
    click.echo(f"{name}: {found.status}")
    if found.problem:
        click.echo(f"error: {found.problem.message}", err=True)
    if path:
        click.echo(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
