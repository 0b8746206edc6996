"""Unsupported options are refused, or dropped with a warning, before any work."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sadtalker_service.domain import GestureCue
from sadtalker_service.engines.port import card_of
from sadtalker_service.errors import InvalidOption, UnsupportedByEngine
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.validation import Applied, apply_to_engine


def test_a_plain_request_passes(engine) -> None:
    assert apply_to_engine(engine, RenderOptions()).warnings == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preprocess": "extfull"}, "does not support preprocess 'extfull'. Supported: crop, full"),
        ({"size": 1024}, "Supported: 64 to 512"),
        (
            {"gestures": (GestureCue("jump", 1.0),)},
            "does not support gestures 'jump'. Supported: nod_yes, smile",
        ),
    ],
)
def test_unsupported_values_are_refused(engine, change: dict[str, object], message: str) -> None:
    with pytest.raises(UnsupportedByEngine, match=message):
        apply_to_engine(engine, RenderOptions(**change))


@pytest.mark.parametrize("name", ["ref_eyeblink", "ref_pose"])
def test_unsupported_reference_videos_are_refused(engine, name: str) -> None:
    with pytest.raises(UnsupportedByEngine, match=f"Leave out {name}"):
        apply_to_engine(engine, RenderOptions(), {name})


def test_unsupported_enhancements_are_dropped_with_a_warning(engine) -> None:
    options = RenderOptions(enhancer="gfpgan", background_enhancer="realesrgan", batch_size=8, face3dvis=True)
    applied = apply_to_engine(engine, options, {"checkpoint_dir"})
    assert applied.warnings == (
        "enhancer gfpgan was not applied: the pattern engine has none.",
        "background_enhancer realesrgan was not applied: the pattern engine has none.",
        "batch_size has no effect with the pattern engine.",
        "face3dvis has no effect with the pattern engine.",
        "checkpoint_dir has no effect with the pattern engine.",
    )
    assert applied.options == RenderOptions(size=512)


def test_supported_options_get_no_warning(engine) -> None:
    engine.capabilities = replace(
        engine.capabilities, enhancers=("gfpgan",), honours=("batch_size",), reference_video=True
    )
    options = RenderOptions(enhancer="gfpgan", batch_size=8, size=256)
    assert apply_to_engine(engine, options, {"ref_pose"}) == Applied(options, ())


def test_the_default_size_is_that_of_the_engine(engine) -> None:
    assert apply_to_engine(engine, RenderOptions()).options.size == 512
    engine.capabilities = replace(engine.capabilities, default_size=256)
    assert apply_to_engine(engine, RenderOptions()).options.size == 256
    assert apply_to_engine(engine, RenderOptions(size=128)).options.size == 128


def test_an_engine_card_works_like_the_engine(engine) -> None:
    card = card_of(engine)
    assert apply_to_engine(card, RenderOptions(enhancer="gfpgan")).warnings == (
        "enhancer gfpgan was not applied: the pattern engine has none.",
    )
    with pytest.raises(UnsupportedByEngine, match="The pattern engine does not support size 1024"):
        apply_to_engine(card, RenderOptions(size=1024))


def test_a_long_wrong_value_is_shortened(engine) -> None:
    with pytest.raises(UnsupportedByEngine) as caught:
        apply_to_engine(engine, RenderOptions(gestures=(GestureCue("x" * 10_000, 1.0),)))
    assert len(caught.value.message) < 200


def test_a_warning_names_the_supported_enhancers(engine) -> None:
    engine.capabilities = replace(engine.capabilities, enhancers=("gfpgan", "realesrgan"))
    applied = apply_to_engine(engine, RenderOptions(enhancer="RestoreFormer"))
    assert applied.warnings == (
        "enhancer RestoreFormer was not applied: the pattern engine has gfpgan, realesrgan.",
    )
    assert applied.options.enhancer is None


@pytest.mark.parametrize("change", [{"background": "#ffffff"}, {"aspect_ratio": "1:1"}])
def test_an_engine_without_backgrounds_or_shapes_says_so(engine, change: dict[str, str]) -> None:
    with pytest.raises(UnsupportedByEngine, match="choose the engine mesh") as caught:
        apply_to_engine(engine, RenderOptions(**change))
    assert caught.value.param == next(iter(change))


@pytest.mark.parametrize(
    ("change", "message", "param"),
    [
        ({"background": "transparent", "format": "mp4"}, "cannot be mp4. Use format webm or mov", "format"),
        ({"format": "webm"}, "webm is for transparent videos", "format"),
        ({"background": "#ffffff", "format": "mov"}, "mov is for transparent videos", "format"),
        ({"background": "transparent", "captions": "track"}, "Use captions=burned", "captions"),
    ],
)
def test_formats_that_cannot_be_are_refused(engine, change: dict[str, str], message: str, param: str) -> None:
    engine.capabilities = replace(engine.capabilities, backgrounds=True)
    with pytest.raises(InvalidOption, match=message) as caught:
        apply_to_engine(engine, RenderOptions(**change))
    assert caught.value.param == param
