"""Equal wishes have one name, different ones never share it; forms become styles."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from sadtalker_service.domain import GestureCue, Style, Track
from sadtalker_service.errors import InvalidOption
from sadtalker_service.pipeline.request import (
    parse_background_enhancer,
    parse_enhancer,
    result_key,
    style_from_fields,
)
from sadtalker_service.state.records import VideoSpec

STYLE = Style(still=True, input_yaw=Track((0.0, 10.0)), gestures=(GestureCue("smile", 1.0),))
WISH = VideoSpec(
    image_id="ab" * 32,
    audio_id="cd" * 32,
    style=STYLE,
    engine="mesh",
    engine_version="1",
    audio_seconds=2.5,
)


def test_a_key_is_a_safe_file_name() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", result_key(WISH))


def test_a_wish_keeps_its_key_on_its_way_through_the_queue() -> None:
    assert result_key(VideoSpec.from_json(WISH.to_json())) == result_key(WISH)


def test_another_process_finds_the_same_key() -> None:
    code = (
        "import json, sys; from sadtalker_service.state.records import VideoSpec;"
        "from sadtalker_service.pipeline.request import result_key;"
        "print(result_key(VideoSpec.from_json(json.load(sys.stdin))))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(WISH.to_json()),
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == result_key(WISH)


def test_equal_numbers_are_equal_wishes() -> None:
    whole = replace(STYLE, expression_scale=1, input_yaw=Track((-0.0, 10)))
    assert result_key(replace(WISH, style=whole)) == result_key(WISH)


@pytest.mark.parametrize(
    "change",
    [
        {"image_id": "ff" * 32},
        {"audio_id": "ff" * 32},
        {"audio_id": None},
        {"engine": "sadtalker"},
        {"engine_version": "2"},
        {"enhancer": "gfpgan"},
        {"background_enhancer": "realesrgan"},
        {"ref_eyeblink_id": "ee" * 32},
        {"ref_pose_id": "ee" * 32},
        *(
            {"style": replace(STYLE, **style)}
            for style in (
                {"preprocess": "crop"},
                {"still": False},
                {"expression_scale": 1.01},
                {"pose_style": 3},
                {"size": 256},
                {"quality": "high"},
                {"fps": 30},
                {"input_yaw": None},
                {"input_yaw": Track((10.0, 0.0))},
                {"input_pitch": Track((0.0, 10.0))},
                {"gestures": ()},
                {"gestures": (GestureCue("smile", 1.5),)},
                {"seed": 1},
            )
        ),
    ],
    ids=str,
)
def test_another_wish_has_another_key(change: dict[str, object]) -> None:
    assert result_key(replace(WISH, **change)) != result_key(WISH)


def test_the_length_counts_for_idle_videos_only() -> None:
    idle = replace(WISH, audio_id=None)
    assert result_key(replace(idle, audio_seconds=3.0)) != result_key(idle)
    assert result_key(replace(WISH, audio_seconds=3.0)) == result_key(WISH)


def test_a_form_becomes_a_style() -> None:
    fields = {
        "preprocess_mode": "crop",
        "still": "false",
        "expression_scale": "1.2",
        "pose_style": "7",
        "size": "256",
        "quality": "High",
        "fps": "30",
        "input_yaw": "0,30,0",
        "input_roll": "5",
        "gestures": "nod_yes@1.5",
        "seed": "9",
        "enhancer": "gfpgan",
        "user_data": "what belongs to others is left alone",
    }
    assert style_from_fields(fields, Style(still=True)) == Style(
        preprocess="crop",
        still=False,
        expression_scale=1.2,
        pose_style=7,
        size=256,
        quality="high",
        fps=30,
        input_yaw=Track((0.0, 30.0, 0.0)),
        input_roll=Track((5.0,)),
        gestures=(GestureCue("nod_yes", 1.5),),
        seed=9,
    )


def test_empty_and_missing_fields_leave_the_defaults() -> None:
    assert style_from_fields({"still": "", "seed": "  ", "gestures": ""}, STYLE) == STYLE


@pytest.mark.parametrize(
    "field",
    [
        "preprocess_mode", "still", "expression_scale", "pose_style", "size", "quality", "fps", "input_yaw",
        "input_pitch", "input_roll", "gestures", "seed",
    ],
)  # fmt: skip
def test_a_field_that_makes_no_sense_is_named(field: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        style_from_fields({field: "x@y@z"}, Style())
    assert caught.value.param == field


def test_enhancers_are_named_as_sadtalker_does() -> None:
    assert parse_enhancer(None, "gfpgan") == "gfpgan"
    assert parse_enhancer(" ", "gfpgan") == "gfpgan"
    assert parse_enhancer("restoreformer", "gfpgan") == "RestoreFormer"
    assert parse_enhancer("None", "gfpgan") is None
    assert parse_background_enhancer("RealESRGAN") == "realesrgan"
    assert parse_background_enhancer("") is None
    with pytest.raises(InvalidOption, match="one of gfpgan, RestoreFormer, none"):
        parse_enhancer("photoshop", None)
