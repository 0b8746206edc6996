"""Artefacts: small, serialisable, and enough to render from."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sadtalker_service.domain import PREPROCESS_MODES, Artefact, PreprocessMode, SourceImage
from sadtalker_service.engines.mesh import stages
from sadtalker_service.engines.mesh.channels import INDEX
from sadtalker_service.engines.mesh.kernels.scene import CONTROLS, PITCH, ROLL, TONGUE
from sadtalker_service.engines.mesh.layout import lay_out
from sadtalker_service.engines.mesh.previews import gesture_clips, viseme_pictures
from sadtalker_service.engines.mesh.renderer import draw_stills
from sadtalker_service.options import RenderOptions
from sadtalker_service.store.codec import decode, encode


def lively() -> NDArray[np.float32]:
    """Controls of three frames that use every part of an avatar."""
    rng = np.random.default_rng(0)
    controls = np.zeros((3, CONTROLS), np.float32)
    controls[:, : len(INDEX)] = rng.uniform(0.0, 0.5, (3, len(INDEX)))
    controls[:, INDEX["jaw"]] = 0.0, 0.5, 1.0
    controls[:, INDEX["blink_right"]] = 0.0, 0.5, 1.0
    controls[:, TONGUE] = 0.0, 0.5, 1.0
    controls[:, PITCH : ROLL + 1] = rng.uniform(-0.1, 0.1, (3, 3))
    return controls


@pytest.mark.parametrize("mode", PREPROCESS_MODES)
def test_avatars_from_stored_artefacts_render_the_same_pictures(
    source_image: SourceImage, detection: Artefact, mode: PreprocessMode
) -> None:
    fresh = stages.build_all(source_image, mode, detection)
    stored = {name: decode(encode(artefact)) for name, artefact in fresh.items()}
    style = RenderOptions(preprocess=mode, size=256, quality="high")
    first, second = lay_out(fresh, style), lay_out(stored, style)
    assert first.box == second.box
    assert np.array_equal(first.background, second.background)
    assert np.array_equal(draw_stills(first, lively()), draw_stills(second, lively()))


def test_stages_depend_on_nothing_but_their_arguments(source_image: SourceImage, detection: Artefact) -> None:
    first, second = (stages.build_all(source_image, "full", detection) for _ in range(2))
    for name, artefact in first.items():
        assert second[name].record == artefact.record
        for array, again in zip(artefact.arrays.values(), second[name].arrays.values(), strict=True):
            assert np.array_equal(array, again)


def test_previews_are_artefacts_too(source_image: SourceImage, detection: Artefact) -> None:
    artefacts = stages.build_all(source_image, "full", detection)
    for preview in (viseme_pictures, gesture_clips):
        made = preview(source_image, "full", artefacts)
        again = decode(encode(made))
        assert again.record == dict(made.record)
        for name, array in made.arrays.items():
            assert np.array_equal(again.arrays[name], array)
            assert np.isfinite(array).all()


@pytest.mark.parametrize("mode", PREPROCESS_MODES)
def test_an_avatar_of_a_large_source_image_takes_seven_megabytes_at_most(
    source_image: SourceImage, landmarks: NDArray[np.float32], mode: PreprocessMode
) -> None:
    """A source image of 1080×1620: the middle of the example, enlarged."""
    factor = 1620 / 512
    left = round(222 * factor - 540)
    large = Image.fromarray(source_image.pixels).resize((1620, 1620), Image.Resampling.BICUBIC)
    pixels = np.asarray(large)[:, left : left + 1080]
    points = landmarks * np.float32(factor) - np.float32([left, 0, 0])
    detection = Artefact({"landmarks": points}, {"quarter_turns": 0})
    artefacts = stages.build_all(SourceImage("", np.ascontiguousarray(pixels)), mode, detection)
    total = sum(len(encode(artefact)) for artefact in artefacts.values())
    assert total <= 7_000_000
