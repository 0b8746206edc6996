"""The two forms of the API, and how their fields become a request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from sadtalker_service.api.ids import image_id_of
from sadtalker_service.api.schemas.avatars import UploadForm
from sadtalker_service.api.schemas.videos import GenerateForm
from sadtalker_service.api.upload.multipart import FileKind, Form, ReceivedFile
from sadtalker_service.domain import SHA256, SpokenText
from sadtalker_service.errors import (
    AudioTooLarge,
    ImageTooLarge,
    InvalidOption,
    RequestTooLarge,
)
from sadtalker_service.jobs.video_request import VideoRequest
from sadtalker_service.media.inspection import AudioFacts
from sadtalker_service.options import RenderOptions
from sadtalker_service.options.fields import parse_number
from sadtalker_service.options.refusals import did_you_mean
from sadtalker_service.options.render_options import (
    COMMAND_ONLY,
    NONE,
    OPTION_SCHEMA,
    options_from_texts,
    plain,
)
from sadtalker_service.pipeline.spoken import spoken_id
from sadtalker_service.pipeline.transcripts import check_transcript
from sadtalker_service.settings import Settings
from sadtalker_service.state.records import Lane
from sadtalker_service.state.registry import EngineRegistry, WorkerRegistry

_FILES = frozenset({"image_file", "audio_file", "ref_eyeblink", "ref_pose", "background_file"})
_OF_TEXT = ("text", "voice", "rate", "language")
"""Fields that have no effect next to driven audio."""
_CALLED = {"preprocess": "preprocess_mode"}
"""Option -> its field name in the form, if that differs."""
_SHOWN_AS = {"preprocess": "preprocess_mode", "still": "still_mode"}
_ALWAYS_SHOWN = ("enhancer", "quality", "still", "preprocess")
FORM_OPTIONS = {
    _CALLED.get(name, name): name for name, schema in OPTION_SCHEMA.items() if COMMAND_ONLY not in schema
}
"""Field of the form -> option."""
FORM_DEFAULTS = RenderOptions(enhancer="gfpgan")
"""The defaults of the command line, with SadTalker's enhancer. A warning says that mesh has none."""

UPLOAD_TEXTS = tuple(name for name in UploadForm.model_fields if name not in _FILES)
GENERATE_TEXTS = (
    *(name for name in GenerateForm.model_fields if name not in _FILES),
    *FORM_OPTIONS,
)

_IMAGE_TYPES = ("image/", "video/", "application/mp4")
_AUDIO_TYPES = ("audio/", "video/", "application/ogg", "application/mp4", "application/x-")


def upload_files(settings: Settings) -> tuple[FileKind, ...]:
    """The file of an upload."""
    return (FileKind("image_file", settings.max_image_bytes, ImageTooLarge, _IMAGE_TYPES, "an image"),)


def generate_files(settings: Settings) -> tuple[FileKind, ...]:
    """The files of a request for a video."""
    most = settings.max_audio_bytes
    return (
        audio_kind(settings),
        FileKind("ref_eyeblink", most, RequestTooLarge, ("video/", "application/mp4"), "a video"),
        FileKind("ref_pose", most, RequestTooLarge, ("video/", "application/mp4"), "a video"),
        FileKind("background_file", settings.max_image_bytes, ImageTooLarge, ("image/",), "an image"),
    )


def audio_kind(settings: Settings) -> FileKind:
    """The file with the driven audio."""
    return FileKind(
        "audio_file", settings.max_audio_bytes, AudioTooLarge, _AUDIO_TYPES, "an audio or video file"
    )


def required_file(form: Form, name: str) -> ReceivedFile:
    """The file of field `name`. Raises `InvalidOption` if it is missing."""
    if name not in form.files:
        raise InvalidOption(f"{name} is missing. Send it as a file (curl: -F {name}=@path).", param=name)
    return form.files[name]


def audio_or_text(form: Form) -> ReceivedFile | SpokenText:
    """The file `audio_file`, or the text that is sent instead. Raises `InvalidOption`."""
    texts = form.texts
    if "audio_file" in form.files:
        return form.files["audio_file"]
    if not texts.get("text", "").strip():
        if "text" in texts:
            raise InvalidOption(
                "text is empty. Write what is to be spoken, or send an audio file.", param="text"
            )
        raise InvalidOption(
            "audio_file is missing: send a file (curl: -F audio_file=@path), or a text to be spoken"
            " (curl: -F text=Hello).",
            param="audio_file",
        )
    rate = texts.get("rate", "").strip()
    return SpokenText(texts["text"], texts.get("voice", ""), parse_number(rate, "rate") if rate else 1.0)


@dataclass(frozen=True)
class ReadText:
    """A text that can be spoken."""

    spoken: SpokenText
    """Its voice chosen."""
    seconds: float
    """About how long it will take to speak."""
    warnings: tuple[str, ...] = ()


def required_image_id(form: Form) -> str:
    """The field `image_id`. Raises `InvalidOption` if it is missing, `NotFound` if it is not an id."""
    text = form.texts.get("image_id", "").strip()
    if not text:
        raise InvalidOption(
            "image_id is missing. It is in the response to the upload of the source image.", param="image_id"
        )
    return image_id_of(text)


def check_engine(form: Form, engines: EngineRegistry, workers: WorkerRegistry) -> None:
    """Raises `InvalidOption` if no worker has the engine and any engine is known; `StoreUnavailable`."""
    name = form.texts.get("engine", "").strip()
    known = engines.all() if name else {}
    if not known or name in known:
        return
    reasons = [facts.obstacles[name] for facts in workers.live().values() if name in facts.obstacles]
    if reasons:
        raise InvalidOption(f"The {name} engine cannot run here: {reasons[0]}", param="engine")
    raise InvalidOption(f"There is no such engine. Use one of: {', '.join(known)}.", param="engine")


def remarks(form: Form) -> tuple[str, ...]:
    """Warnings about fields that have no effect."""
    unknown = unknown_fields(form, (*GENERATE_TEXTS, *_FILES))
    no_effect = [
        f"{name} has no effect together with audio_file."
        for name in _OF_TEXT
        if "audio_file" in form.files and form.texts.get(name, "").strip()
    ]
    if "background_file" in form.files and form.texts.get("background", "").strip():
        no_effect.append("background has no effect together with background_file.")
    return (*unknown, *no_effect)


def unknown_fields(form: Form, known: Sequence[str]) -> tuple[str, ...]:
    """Warnings about fields that are not among the `known` ones of a route."""
    return tuple(
        f"The field {name} is unknown and was ignored.{did_you_mean(name, known)}" for name in form.ignored
    )


def options_of(form: Form) -> RenderOptions:
    """The options of the video. Raises `InvalidOption`."""
    options = options_from_texts(_given(form), FORM_DEFAULTS, _CALLED)
    picture = form.files.get("background_file")
    if picture:
        return replace(options, background=picture.sha256)
    if options.background and SHA256.fullmatch(options.background):
        raise InvalidOption("Send the picture as background_file.", param="background")
    return options


def _given(form: Form) -> dict[str, str]:
    """Option -> text of its field."""
    return {option: form.texts[field] for field, option in FORM_OPTIONS.items() if field in form.texts}


def video_request(
    form: Form, lane: Lane, sound: AudioFacts | ReadText, *, request_id: str | None, received_at: float
) -> VideoRequest:
    """The request in `form`. `sound` describes its driven audio or its text.

    Raises `InvalidOption` for a field that cannot be read, `NotFound` for an invalid `image_id`.
    """
    texts, audio = form.texts, form.files.get("audio_file")
    spoken = sound.spoken if isinstance(sound, ReadText) else None
    given = {name for name, text in _given(form).items() if text.strip()}
    options = options_of(form)
    if options.background:
        given.add("background")
    return VideoRequest(
        lane=lane,
        image_id=required_image_id(form),
        options=options,
        audio_id=spoken_id(spoken) if spoken else audio.sha256 if audio else None,
        audio_path=audio.path if audio else None,
        audio_seconds=sound.seconds,
        audio_reading=None if isinstance(sound, ReadText) else sound.reading,
        spoken=spoken,
        transcript="" if spoken else _transcript(texts.get("transcript", "")),
        engine=texts.get("engine", "").strip() or None,
        ref_eyeblink=_reference(form, "ref_eyeblink"),
        ref_pose=_reference(form, "ref_pose"),
        background=_reference(form, "background_file"),
        settings=_settings(options, given) | ({"voice": spoken.voice, "rate": spoken.rate} if spoken else {}),
        warnings=(*remarks(form), *sound.warnings),
        explain_height=bool(texts.get("quality", "").strip()),
        callback_url=_callback_url(texts.get("callback_url", "")),
        user_data=_user_data(texts.get("user_data", "")),
        request_id=request_id,
        received_at=received_at,
    )


def form_hash(form: Form) -> str:
    """A hash of everything in the form; equal if the same request is sent again."""
    files = {name: file.sha256 for name, file in form.files.items()}
    text = json.dumps([dict(form.texts), files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def generate_body() -> dict[str, Any]:
    """The `openapi_extra` of the route that reads `GenerateForm` and the options of a video."""
    defaults = plain(FORM_DEFAULTS)
    fields = {
        field: {key: value for key, value in OPTION_SCHEMA[name].items() if not key.startswith("x-")}
        | {"default": defaults[name]}
        for field, name in FORM_OPTIONS.items()
    }
    for schema in fields.values():
        if schema["default"] is None and NONE in schema.get("enum", ()):
            schema["default"] = NONE
        if schema["default"] in (None, []):
            del schema["default"]
    return form_body(GenerateForm, fields)


def form_body(model: type[BaseModel], more: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads `model`, and `more` fields, as a multipart form."""
    schema = model.model_json_schema()
    for field in schema["properties"].values():
        if "type" in field:  # a form has no null: a field is present or absent, so one type is enough
            field.pop("anyOf", None)
            if field.get("default", ...) is None:
                field.pop("default")
    schema["properties"] |= more
    content = {"multipart/form-data": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


def _reference(form: Form, name: str) -> tuple[str, Any] | None:
    file = form.files.get(name)
    return (file.sha256, file.path) if file else None


def _settings(options: RenderOptions, given: Set[str]) -> dict[str, Any]:
    """The fields as they were understood: the common ones always, others only if they were sent."""
    values = plain(options)
    return {
        _SHOWN_AS.get(name, name): NONE if values[name] is None else values[name]
        for name in (*_ALWAYS_SHOWN, *values)
        if name in _ALWAYS_SHOWN or (name in given and values[name] not in (None, []))
    }


def _transcript(text: str) -> str:
    """Raises `TextTooLong`, `InvalidOption`."""
    if text.strip():
        check_transcript(text)
    return " ".join(text.split())


def _callback_url(text: str) -> str | None:
    url = text.strip()
    if not url:
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or len(url) > 2000 or any(c.isspace() or not c.isprintable() for c in url):
        raise InvalidOption("callback_url must be an absolute http or https URL.", param="callback_url")
    return url


def _user_data(text: str) -> str | None:
    if len(text) > 4000:
        raise InvalidOption("user_data may have at most 4,000 characters.", param="user_data")
    return text or None
