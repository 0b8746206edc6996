"""Equal requests share one key, different ones never do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from sadtalker_service.domain import GestureCue, Track
from sadtalker_service.options import RenderOptions
from sadtalker_service.state.records import VideoSpec
from sadtalker_service.state.result_key import result_key

OPTIONS = RenderOptions(still=True, input_yaw=Track((0.0, 10.0)), gestures=(GestureCue("smile", 1.0),))
SPEC = VideoSpec(
    image_id="ab" * 32,
    audio_id="cd" * 32,
    options=OPTIONS,
    engine="mesh",
    engine_version="1",
    audio_seconds=2.5,
)


def test_a_key_is_a_safe_file_name() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", result_key(SPEC))


def test_key_is_unchanged_after_a_json_round_trip() -> None:
    assert result_key(VideoSpec.from_json(SPEC.to_json())) == result_key(SPEC)


def test_another_process_computes_the_same_key() -> None:
    code = (
        "import json, sys; from sadtalker_service.state.records import VideoSpec;"
        "from sadtalker_service.state.result_key import result_key;"
        "print(result_key(VideoSpec.from_json(json.load(sys.stdin))))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(SPEC.to_json()),
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == result_key(SPEC)


def test_equal_numbers_give_equal_keys() -> None:
    whole = replace(OPTIONS, expression_scale=1, input_yaw=Track((-0.0, 10)))
    assert result_key(replace(SPEC, options=whole)) == result_key(SPEC)


@pytest.mark.parametrize(
    "change",
    [
        {"image_id": "ff" * 32},
        {"audio_id": "ff" * 32},
        {"audio_id": None},
        {"engine": "sadtalker"},
        {"engine_version": "2"},
        {"ref_eyeblink_id": "ee" * 32},
        {"ref_pose_id": "ee" * 32},
        *(
            {"options": replace(OPTIONS, **options)}
            for options in (
                {"preprocess": "crop"},
                {"face_index": 1},
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
                {"enhancer": "gfpgan"},
                {"background_enhancer": "realesrgan"},
            )
        ),
    ],
    ids=str,
)
def test_a_different_request_has_a_different_key(change: dict[str, object]) -> None:
    assert result_key(replace(SPEC, **change)) != result_key(SPEC)


def test_the_length_counts_for_idle_videos_only() -> None:
    idle = replace(SPEC, audio_id=None)
    assert result_key(replace(idle, audio_seconds=3.0)) != result_key(idle)
    assert result_key(replace(SPEC, audio_seconds=3.0)) == result_key(SPEC)


def test_option_with_its_default_is_not_part_of_the_key() -> None:
    """A new option therefore does not change the names of existing videos."""
    plain = replace(SPEC, options=RenderOptions())
    assert result_key(replace(plain, options=RenderOptions(fps=25, quality="medium"))) == result_key(plain)
