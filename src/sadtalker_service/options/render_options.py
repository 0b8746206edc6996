"""`RenderOptions`: every choice of a request about a video, with type, range and description.

The API's form (`api.upload.forms`), the command line (`cli.options`) and the cache key (`state.result_key`)
derive from it. A new option needs a field here, support in the engine, and a control in the studio.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic.dataclasses import dataclass

from sadtalker_service.domain import (
    MOST_FACES,
    PREPROCESS_MODES,
    QUALITIES,
    SHA256,
    GestureCue,
    PreprocessMode,
    Quality,
    Track,
)
from sadtalker_service.errors import InvalidOption
from sadtalker_service.options.fields import (
    STILL,
    TRANSPARENT,
    parse_angles,
    parse_background,
    parse_flag,
    parse_gestures,
    parse_number,
    parse_whole,
)
from sadtalker_service.options.refusals import at_most, refusal, within

NONE = "none"
"""Value by which a form or a command disables an enhancer."""
COMMAND_ONLY = "x-command-only"
"""Marks an option in the JSON schema that the API's form does not have."""
IF_HONOURED = "x-if-honoured"
"""Marks an option that only has an effect with engines that list it in `Capabilities.honours`. Other engines
ignore it with a warning."""
DEFAULT_SIZE = 512

LONGEST_TEXT = 16_000
"""Longest text of a list, characters."""
_MOST_ANGLES, _MOST_CUES = 1_000, 500
_LATEST_CUE = 86_400.0
"""Seconds. A day is longer than any video."""
_LARGEST_WHOLE = 10**18 - 1


def _text(parse: Callable[[str, str], Any]) -> BeforeValidator:
    """Parse text with `parse(text, name)`. Other values are unchanged."""

    def read(value: Any, info: ValidationInfo) -> Any:
        return parse(value, _name(info)) if isinstance(value, str) else value

    return BeforeValidator(read)


def _choice(*choices: str, **others: None) -> BeforeValidator:
    """Accept a choice and ignore case. `others` stand for None."""
    spelled = {choice.lower(): choice for choice in choices} | others
    return BeforeValidator(lambda v: spelled.get(v.strip().lower(), v) if isinstance(v, str) else v)


def _or_none(*choices: str) -> tuple[Any, ...]:
    """Like `_choice`, with `none` for None."""
    return _choice(*choices, none=None), WithJsonSchema({"type": "string", "enum": [*choices, NONE]})


def _angles(value: Any, info: ValidationInfo) -> Any:
    """Accept `0,30,0` or a sequence of numbers, degrees. Raises `InvalidOption`."""
    name = _name(info)
    if isinstance(value, str):
        value = parse_angles(_not_too_long(value, name), name)
    elif isinstance(value, list | tuple):
        value = Track(tuple(map(float, value)))
    if isinstance(value, Track):
        at_most(name, len(value.degrees), _MOST_ANGLES)
        if not value.degrees:
            raise InvalidOption(f"{name} needs at least one angle.", param=name)
        for angle in value.degrees:
            within(name, angle, -180.0, 180.0)
    return value


def _cues(value: Any, info: ValidationInfo) -> Any:
    """Accept `nod_yes@1.5,smile@3`, the same as JSON, or a sequence of cues. Raises `InvalidOption`."""
    name = _name(info)
    cues = parse_gestures(_not_too_long(value, name), name) if isinstance(value, str) else value
    if isinstance(cues, list | tuple):
        at_most(name, len(cues), _MOST_CUES)
        for cue in cues:
            at = cue.at if isinstance(cue, GestureCue) else cue.get("at") if isinstance(cue, dict) else None
            if isinstance(at, int | float):
                within(name, at, 0.0, _LATEST_CUE)
    return cues


def _not_too_long(text: str, name: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise InvalidOption(
            f"{name} has {len(text):,} characters, but may have at most {LONGEST_TEXT:,}.", param=name
        )
    return text


def _name(info: ValidationInfo) -> str:
    """Name of the field at the source of the values."""
    name = info.field_name or ""
    return str((info.context or {}).get(name, name))


_FLAG, _WHOLE, _NUMBER = _text(parse_flag), _text(parse_whole), _text(parse_number)
_WHOLE_OR_NONE = (_WHOLE, WithJsonSchema({"type": "integer", "minimum": 1}))
_Seed = Annotated[int, Field(ge=-_LARGEST_WHOLE, le=_LARGEST_WHOLE)]
_SEED_SCHEMA = WithJsonSchema({"type": "integer", "minimum": -_LARGEST_WHOLE, "maximum": _LARGEST_WHOLE})
_ANGLES = (
    BeforeValidator(_angles),
    PlainSerializer(lambda track: track and list(track.degrees)),
    WithJsonSchema({"type": "string", "format": "angles", "maxLength": LONGEST_TEXT}),
)
_BACKGROUND = (
    _text(parse_background),
    BeforeValidator(lambda v: None if isinstance(v, str) and v.strip().lower() == NONE else v),  # comes first
    WithJsonSchema({"type": "string", "format": "background", "maxLength": 64}),
)
_CUES = (
    BeforeValidator(_cues),
    WithJsonSchema({"type": "string", "format": "gestures", "maxLength": LONGEST_TEXT}),
)
_OF_SOME_ENGINES = Field(json_schema_extra={COMMAND_ONLY: True, IF_HONOURED: True})


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class RenderOptions:
    """How the person speaks and how the video looks. Names are those of SadTalker if it has the option.

    Text is parsed as in a form or a command: `RenderOptions(input_yaw="0,30,0")`. Raises `InvalidOption`,
    whose `param` is the field. `pipeline.validation` finds what an engine cannot do. The field docstrings are
    shown to users.
    """

    preprocess: Annotated[PreprocessMode, _choice(*PREPROCESS_MODES)] = "full"
    """crop, extcrop: a close-up. resize: the image made square. full, extfull: the whole image."""
    face_index: Annotated[int, Field(ge=0, le=MOST_FACES - 1), _WHOLE] = 0
    """Which face of the source image speaks: 0 is the largest, 1 the next largest."""
    still: Annotated[bool, _FLAG] = False
    """Keep the head still. The eyes still blink."""
    expression_scale: Annotated[float, Field(ge=0, le=3), _NUMBER] = 1.0
    """Liveliness of the face, 0 to 3."""
    pose_style: Annotated[int, Field(ge=0, le=45), _WHOLE] = 0
    """Style of head motion, 0 to 45."""
    size: Annotated[PositiveInt | None, *_WHOLE_OR_NONE] = None
    """Side of a close-up in pixels. The default depends on the engine. The mesh engine draws 128 to 1024,
    the sadtalker engine 256 or 512."""
    input_yaw: Annotated[Track | None, *_ANGLES, Field(examples=["0,30,0"])] = None
    """Yaw (turn) of the head over the video: up to 1,000 angles from -180 to 180 degrees, evenly spread."""
    input_pitch: Annotated[Track | None, *_ANGLES, Field(examples=["0,10,0"])] = None
    """Pitch (nod) of the head, in the form of input_yaw."""
    input_roll: Annotated[Track | None, *_ANGLES, Field(examples=["-5,5"])] = None
    """Roll (tilt) of the head, in the form of input_yaw."""
    audio_track: Annotated[PositiveInt | None, *_WHOLE_OR_NONE] = None
    """Number of the audio track in the driven audio, starting at 1. The default is the main one, or the one
    with a voice."""
    gestures: Annotated[tuple[GestureCue, ...], *_CUES, Field(examples=["nod_yes@1.5,smile@3"])] = ()
    """Gestures and their start times in seconds, as text or JSON, at most 500."""
    quality: Annotated[Quality, _choice(*QUALITIES)] = "medium"
    """Quality of the video: at most 480, 720 or 1080 pixels high, with more encoder effort for higher
    quality."""
    captions: Annotated[Literal["track", "burned"] | None, *_or_none("track", "burned")] = None
    """Captions: a track that players can switch on, or burned into the picture. Needs a text, a transcript,
    or the extra captions, which recognises the words."""
    background: Annotated[str | None, *_BACKGROUND, Field(examples=["#1e90ff"])] = None
    """Background behind the person: a colour such as #1e90ff, a picture, transparent, or still. still is the
    background of the source image, which then does not move at all. Without this option, the area close to
    the head moves with it."""
    aspect_ratio: Annotated[Literal["16:9", "9:16", "1:1"] | None, *_or_none("16:9", "9:16", "1:1")] = None
    """Shape of the video, with room above the head. With a background, it may be wider than the source
    image."""
    format: Annotated[Literal["mp4", "webm", "mov"] | None, *_or_none("mp4", "webm", "mov")] = None
    """Format of the file. A transparent video is webm (VP9) or mov (ProRes 4444), any other is mp4."""
    fps: Annotated[Literal[24, 25, 30, 50, 60], _WHOLE] = 25
    """Frames per second: 24, 25, 30, 50 or 60."""
    seed: Annotated[_Seed | None, _WHOLE, _SEED_SCHEMA] = None
    """Determines blinks, glances and head motion: equal seeds give equal motion. By default it is
    derived from the source image and the driven audio, so equal requests give equal videos."""
    enhancer: Annotated[Literal["gfpgan", "RestoreFormer"] | None, *_or_none("gfpgan", "RestoreFormer")] = (
        None
    )
    """Restore the face. Engines without this option ignore it with a warning."""
    background_enhancer: Annotated[Literal["realesrgan"] | None, *_or_none("realesrgan")] = None
    """Sharpen the background. Engines without this option ignore it with a warning."""
    batch_size: Annotated[PositiveInt | None, *_WHOLE_OR_NONE, _OF_SOME_ENGINES] = None
    """Number of frames processed at once (neural engines)."""
    face3dvis: Annotated[bool, _FLAG, _OF_SOME_ENGINES] = False
    """Also draw the face model (neural engines)."""

    @property
    def has_tracks(self) -> bool:
        """Whether head angles follow a track over the whole video. Its length must be known then."""
        return any((self.input_yaw, self.input_pitch, self.input_roll))

    @property
    def side(self) -> int:
        """Side of a close-up, pixels: `size`, or 512 if no size is set."""
        return self.size or DEFAULT_SIZE

    @property
    def transparent(self) -> bool:
        """Whether the video has an alpha channel."""
        return self.background == TRANSPARENT

    @property
    def backdrop(self) -> str | None:
        """The colour, or the SHA-256 of the picture, that is put behind the drawn person."""
        return None if self.background in {TRANSPARENT, STILL} else self.background

    @property
    def picture(self) -> str | None:
        """SHA-256 of the picture behind the person, if there is one."""
        return self.background if self.background and SHA256.fullmatch(self.background) else None

    @property
    def container(self) -> Literal["mp4", "webm", "mov"]:
        """Format of the file, also its suffix."""
        return self.format or ("webm" if self.transparent else "mp4")

    @model_validator(mode="wrap")
    @classmethod
    def _translate_errors(
        cls, values: Any, handler: ModelWrapValidatorHandler[RenderOptions], info: ValidationInfo
    ) -> RenderOptions:
        try:
            return handler(values)
        except ValidationError as error:
            raise refusal(error, OPTION_SCHEMA, info.context or {}) from None


_ADAPTER = TypeAdapter(RenderOptions)
DEFAULTS = RenderOptions()
OPTION_NAMES = tuple(field.name for field in fields(RenderOptions))
_PROPERTIES = _ADAPTER.json_schema()["properties"]
OPTION_SCHEMA: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        name: MappingProxyType(
            {**_PROPERTIES[name], "description": " ".join(_PROPERTIES[name]["description"].split())}
        )
        for name in OPTION_NAMES
    }
)
"""Option -> its JSON schema as a form field, with `description` and `default`."""


def options_from_texts(
    texts: Mapping[str, str],
    defaults: RenderOptions,
    called: Mapping[str, str] = MappingProxyType({}),
) -> RenderOptions:
    """Parse options from `texts` (option -> text). A missing or empty text gives the default.

    `called`: option -> its name in messages, if it differs. Raises `InvalidOption`.
    """
    given = {name: text.strip() for name, text in texts.items() if text.strip()}
    known = {name: getattr(defaults, name) for name in OPTION_NAMES}
    return _ADAPTER.validate_python(known | given, context=dict(called))


def plain(options: RenderOptions) -> dict[str, Any]:
    """Option -> JSON value. `RenderOptions(**values)` accepts the result."""
    values: dict[str, Any] = _ADAPTER.dump_python(options, mode="json")
    return values


def changed(options: RenderOptions) -> dict[str, Any]:
    """Like `plain`, without the options that have their default value."""
    values: dict[str, Any] = _ADAPTER.dump_python(options, mode="json", exclude_defaults=True)
    return values
