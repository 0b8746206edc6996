"""Options are read from forms, commands and Python alike, and refused in words that say what to do."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sadtalker_service.domain import GestureCue, Track
from sadtalker_service.engines.mesh import MeshEngine
from sadtalker_service.errors import InvalidOption
from sadtalker_service.options import RenderOptions
from sadtalker_service.options.render_options import (
    DEFAULTS,
    OPTION_NAMES,
    OPTION_SCHEMA,
    changed,
    options_from_texts,
    plain,
)

NAN = float("nan")

OPTIONS = st.builds(
    RenderOptions,
    preprocess=st.sampled_from(OPTION_SCHEMA["preprocess"]["enum"]),
    still=st.booleans(),
    expression_scale=st.floats(0, 3),
    pose_style=st.integers(0, 45),
    size=st.none() | st.integers(1, 10_000),
    input_yaw=st.none() | st.lists(st.floats(-180, 180), min_size=1, max_size=9),
    gestures=st.lists(st.builds(GestureCue, st.text(max_size=9), st.floats(0, 86_400)), max_size=5),
    fps=st.sampled_from(OPTION_SCHEMA["fps"]["enum"]),
    seed=st.integers(-(10**18) + 1, 10**18 - 1),
    enhancer=st.sampled_from(["gfpgan", "RestoreFormer", "none", None]),
    batch_size=st.none() | st.integers(1, 64),
)


def test_a_form_becomes_options() -> None:
    fields = {
        "preprocess": "crop",
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
    }
    assert options_from_texts(fields, RenderOptions(still=True)) == RenderOptions(
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
        enhancer="gfpgan",
    )


def test_empty_and_missing_fields_leave_the_defaults() -> None:
    defaults = RenderOptions(still=True, input_yaw="0,10", gestures="smile@1", seed=3)
    assert options_from_texts({"still": "", "seed": "  ", "gestures": ""}, defaults) == defaults


@pytest.mark.parametrize("option", OPTION_NAMES)
def test_an_option_that_makes_no_sense_is_named(option: str) -> None:
    """Also under the name that it has where it comes from."""
    with pytest.raises(InvalidOption) as caught:
        RenderOptions(**{option: "x@y@z"})
    assert caught.value.param == option
    with pytest.raises(InvalidOption) as caught:
        options_from_texts({option: "x@y@z"}, DEFAULTS, {option: "their_name"})
    assert caught.value.param == "their_name"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preprocess": "face"}, "preprocess is 'face', but must be one of crop, extcrop"),
        ({"quality": "best"}, "quality is 'best', but must be one of low, medium, high"),
        ({"fps": 26}, "fps is 26, but must be one of 24, 25, 30, 50, 60"),
        ({"fps": "26"}, "fps is 26, but must be one of 24, 25, 30, 50, 60"),
        ({"expression_scale": 3.1}, "expression_scale is 3.1, but must be between 0 and 3"),
        ({"expression_scale": -0.1}, "between 0 and 3"),
        ({"expression_scale": NAN}, "expression_scale is nan, but must be between 0 and 3"),
        ({"pose_style": 46}, "between 0 and 45"),
        ({"pose_style": -1}, "between 0 and 45"),
        ({"pose_style": "1.5"}, "pose_style is '1.5', but must be a whole number"),
        ({"size": 0}, "size is 0, but must be at least 1"),
        ({"batch_size": 0}, "batch_size is 0, but must be at least 1"),
        ({"still": "maybe"}, "still is 'maybe', but must be true or false"),
        ({"input_yaw": Track((0.0, 200.0))}, "input_yaw is 200, but must be between -180 and 180"),
        ({"input_roll": Track(())}, "input_roll needs at least one angle"),
        ({"input_yaw": "left"}, "'left' is not a list of angles such as 0,30,0"),
        ({"input_yaw": [0, "left"]}, "must be something like 0,30,0"),
        ({"gestures": (GestureCue("smile", -1.0),)}, "gestures is -1"),
        ({"gestures": [{"name": "smile", "at": -1}]}, "gestures is -1"),
        ({"gestures": (GestureCue("smile", NAN),)}, "gestures is nan"),
        ({"input_pitch": Track((0.0,) * 1001)}, "input_pitch has 1,001 entries, but may have at most 1,000"),
        ({"input_pitch": "0," * 1001}, "input_pitch has 1,001 entries"),
        ({"gestures": (GestureCue("smile", 1.0),) * 501}, "gestures has 501 entries"),
        ({"input_yaw": "0" * 16_001}, "input_yaw has 16,001 characters, but may have at most 16,000"),
        ({"gestures": " " * 16_001}, "gestures has 16,001 characters"),
        (
            {"background": "blue"},
            "background is 'blue', but must be a colour such as #1e90ff, transparent, still",
        ),
        ({"background": "#12345"}, "must be a colour"),
        ({"background": 7}, "must be something like #1e90ff"),
        ({"aspect_ratio": "4:3"}, "aspect_ratio is '4:3', but must be one of 16:9, 9:16, 1:1, none"),
        ({"format": "avi"}, "format is 'avi', but must be one of mp4, webm, mov, none"),
        (
            {"enhancer": "photoshop"},
            "enhancer is 'photoshop', but must be one of gfpgan, RestoreFormer, none",
        ),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(change: dict[str, object], message: str) -> None:
    for make in (lambda: RenderOptions(**change), lambda: replace(DEFAULTS, **change)):
        with pytest.raises(InvalidOption, match=message) as caught:
            make()
        assert caught.value.param == next(iter(change))
        assert caught.value.exit_code == 2
        assert len(caught.value.message) < 200


def test_what_is_no_option_is_answered_with_the_most_similar_one() -> None:
    with pytest.raises(InvalidOption, match=r"no option called 'posestyle'. Did you mean pose_style\?"):
        RenderOptions(posestyle=3)  # type: ignore[call-arg]


def test_enhancers_are_named_as_sadtalker_does() -> None:
    assert RenderOptions(enhancer="restoreformer").enhancer == "RestoreFormer"
    assert RenderOptions(enhancer="None").enhancer is None
    assert RenderOptions(background_enhancer="RealESRGAN").background_enhancer == "realesrgan"


@given(OPTIONS)
def test_options_keep_their_values_on_their_way_through_json(options: RenderOptions) -> None:
    assert RenderOptions(**json.loads(json.dumps(plain(options)))) == options
    assert RenderOptions(**changed(options)) == options


def test_the_sizes_of_the_mesh_engine_are_those_of_the_description() -> None:
    smallest, largest = MeshEngine.capabilities.sizes
    assert f"The mesh engine draws {smallest} to {largest}" in OPTION_SCHEMA["size"]["description"]


def test_every_option_is_described() -> None:
    assert all(schema["description"] and "default" in schema for schema in OPTION_SCHEMA.values())


@pytest.mark.parametrize(
    ("given", "container", "picture"),
    [
        ({}, "mp4", None),
        ({"background": "#ffffff"}, "mp4", None),
        ({"background": "A" * 64}, "mp4", "a" * 64),
        ({"background": "Transparent"}, "webm", None),
        ({"background": "transparent", "format": "mov"}, "mov", None),
        ({"background": "none", "format": "None"}, "mp4", None),
    ],
)
def test_the_file_follows_from_the_background(
    given: dict[str, str], container: str, picture: str | None
) -> None:
    options = RenderOptions(**given)
    assert (options.container, options.picture) == (container, picture)
