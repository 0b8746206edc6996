"""What an engine cannot do is refused, or left out with a warning, before any work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sadtalker_service.domain import GestureCue, Style, Track
from sadtalker_service.engines.port import NO_POST_PROCESSING, PostProcessing, card_of
from sadtalker_service.errors import InvalidOption, UnsupportedByEngine
from sadtalker_service.pipeline.validation import EngineOptions, applied, check_request, post_processing_of

NAN = float("nan")


def test_a_plain_request_passes(engine) -> None:
    assert check_request(engine, Style(), EngineOptions()) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preprocess": "face"}, "preprocess is face, but must be one of crop, extcrop"),
        ({"quality": "best"}, "one of low, medium, high"),
        ({"fps": 26}, "fps is 26, but must be one of 24, 25, 30, 50, 60"),
        ({"expression_scale": 3.1}, "expression_scale is 3.1, but must be between 0 and 3"),
        ({"expression_scale": -0.1}, "between 0 and 3"),
        ({"expression_scale": NAN}, "between 0 and 3"),
        ({"pose_style": 46}, "between 0 and 45"),
        ({"pose_style": -1}, "between 0 and 45"),
        ({"input_yaw": Track((0.0, 200.0))}, "input_yaw is 200"),
        ({"input_roll": Track(())}, "input_roll needs at least one angle"),
        ({"gestures": (GestureCue("smile", -1.0),)}, "gestures is -1"),
        ({"gestures": (GestureCue("smile", NAN),)}, "gestures is nan"),
        ({"input_pitch": Track((0.0,) * 1001)}, "input_pitch has 1,001 entries, but may have at most 1,000"),
        ({"gestures": (GestureCue("smile", 1.0),) * 501}, "gestures has 501 entries"),
    ],
)
def test_values_out_of_range_are_refused(engine, change: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidOption, match=message) as caught:
        check_request(engine, replace(Style(), **change), EngineOptions())
    assert caught.value.param == next(iter(change))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preprocess": "extfull"}, "does not know preprocess 'extfull'; it knows crop, full"),
        ({"size": 1024}, "it knows 64 to 512"),
        ({"gestures": (GestureCue("jump", 1.0),)}, "does not know gestures 'jump'; it knows nod_yes, smile"),
    ],
)
def test_what_the_engine_does_not_know_is_refused(engine, change: dict[str, object], message: str) -> None:
    with pytest.raises(UnsupportedByEngine, match=message):
        check_request(engine, replace(Style(), **change), EngineOptions())


@pytest.mark.parametrize("name", ["ref_eyeblink", "ref_pose"])
def test_reference_videos_decide_the_motion_and_are_refused(engine, name: str) -> None:
    with pytest.raises(UnsupportedByEngine, match=f"leave {name} out"):
        check_request(engine, Style(), replace(EngineOptions(), **{name: Path("v.mp4")}))


def test_what_only_makes_it_prettier_is_left_out_with_a_warning(engine) -> None:
    engine_options = EngineOptions(
        enhancer="gfpgan",
        background_enhancer="realesrgan",
        batch_size=8,
        checkpoint_dir=Path("checkpoints"),
        face3dvis=True,
    )
    assert check_request(engine, Style(), engine_options) == (
        "enhancer gfpgan was not applied: the pattern engine has none.",
        "background_enhancer realesrgan was not applied: the pattern engine has none.",
        "batch_size has no effect with the pattern engine.",
        "checkpoint_dir has no effect with the pattern engine.",
        "face3dvis has no effect with the pattern engine.",
    )


def test_an_engine_that_can_is_not_warned_about(engine) -> None:
    engine.capabilities = replace(
        engine.capabilities, enhancers=("gfpgan",), honours=("batch_size",), reference_video=True
    )
    engine_options = EngineOptions(enhancer="gfpgan", batch_size=8, ref_pose=Path("v.mp4"))
    assert check_request(engine, Style(), engine_options) == ()


def test_a_card_is_as_good_as_the_engine(engine) -> None:
    card = card_of(engine)
    assert check_request(card, Style(), EngineOptions(enhancer="gfpgan")) == (
        "enhancer gfpgan was not applied: the pattern engine has none.",
    )
    with pytest.raises(UnsupportedByEngine, match="The pattern engine does not know size 1024"):
        check_request(card, Style(size=1024), EngineOptions())


def test_a_long_wrong_value_is_not_repeated(engine) -> None:
    with pytest.raises(UnsupportedByEngine) as caught:
        check_request(engine, Style(gestures=(GestureCue("x" * 10_000, 1.0),)), EngineOptions())
    assert len(caught.value.message) < 200


def test_what_the_engine_has_besides_is_named(engine) -> None:
    engine.capabilities = replace(engine.capabilities, enhancers=("gfpgan", "realesrgan"))
    (warning,) = check_request(engine, Style(), EngineOptions(enhancer="RestoreFormer"))
    assert warning == ("enhancer RestoreFormer was not applied: the pattern engine has gfpgan, realesrgan.")


def test_the_finish_is_what_the_engine_has_of_what_was_asked_for(engine) -> None:
    engine_options = EngineOptions(enhancer="gfpgan", background_enhancer="realesrgan", batch_size=8)
    assert post_processing_of(engine, engine_options) == NO_POST_PROCESSING
    engine.capabilities = replace(engine.capabilities, enhancers=("gfpgan",), honours=("batch_size",))
    assert post_processing_of(card_of(engine), engine_options) == PostProcessing(
        enhancer="gfpgan", batch_size=8
    )


def test_only_enhancers_that_the_engine_has_are_applied(engine) -> None:
    assert applied(engine, "gfpgan") is None
    engine.capabilities = replace(engine.capabilities, enhancers=("gfpgan",))
    assert applied(engine, "gfpgan") == "gfpgan"
    assert applied(card_of(engine), None) is None
