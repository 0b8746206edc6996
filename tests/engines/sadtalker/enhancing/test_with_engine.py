"""The engine passes drawn frames to its enhancers and shows their results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sadtalker_service.domain import Artefact, Avatar, Motion, Rendering  # noqa: E402
from sadtalker_service.engines.sadtalker.engine import SadTalkerEngine  # noqa: E402
from sadtalker_service.media.image import decode_image  # noqa: E402
from sadtalker_service.options import RenderOptions  # noqa: E402
from sadtalker_service.settings import Settings  # noqa: E402

pytestmark = pytest.mark.slow  # two frames of the real renderer

SOURCE_IMAGE = Path(__file__).parents[4] / "examples" / "portrait.jpg"
STYLE = RenderOptions(size=256, quality="medium")


@pytest.fixture
def engine(checkpoints: Path, tmp_path: Path, stand_in: None) -> SadTalkerEngine:
    """An engine with a face enhancer and a background enhancer that brighten everything by 51 of 255."""
    for file in checkpoints.iterdir():
        (tmp_path / file.name).symlink_to(file)
    torch.save({"GFPGAN": torch.tensor(0.4)}, tmp_path / "GFPGANv1.4.pth")
    torch.save({"ESRGAN": torch.tensor(0.2)}, tmp_path / "RealESRGAN_x2plus.pth")
    return SadTalkerEngine(Settings(sadtalker_checkpoints_path=tmp_path, sadtalker_device="cpu"))


def drawn(rendering: Rendering) -> np.ndarray[Any, Any]:
    """The first frame inside its box, as signed numbers."""
    (frames,) = rendering.batches
    return frames[0].astype(int)


def test_face_is_restored_in_its_window_and_the_background_enlarged(engine: SadTalkerEngine) -> None:
    assert engine.capabilities.enhancers == ("gfpgan", "realesrgan")
    data = SOURCE_IMAGE.read_bytes()
    source_image = decode_image(data, max_bytes=len(data), max_pixels=10_000_000)
    artefacts: dict[str, Artefact] = {}
    for stage in engine.stages:
        artefacts[stage.name] = stage.compute(source_image, "extfull", artefacts)
    avatar = Avatar(source_image.image_hash, engine.name, "extfull", artefacts)
    motion = Motion.joined(engine.drive(avatar, None, STYLE, 0.04))

    plain = engine.render(avatar, iter([motion]), STYLE)
    restored = engine.render(avatar, iter([motion]), replace(STYLE, enhancer="gfpgan"))
    assert np.array_equal(restored.background, plain.background)
    assert restored.box == plain.box
    before, after = drawn(plain), drawn(restored)
    height, width = before.shape[:2]
    middle = np.s_[height * 4 // 10 : height * 6 // 10, width * 4 // 10 : width * 6 // 10]
    # on average, because the larger square is scaled to the same box in a different way
    assert abs((after - np.minimum(before + 51, 255))[middle].mean()) < 2
    border = int(0.06 * min(height, width))  # the window leaves 0.08 of the square on every side
    rim = np.ones((height, width), bool)
    rim[border:-border, border:-border] = False
    assert abs((after - before)[rim].mean()) < 2

    both = engine.render(
        avatar, iter([motion]), replace(STYLE, enhancer="gfpgan", background_enhancer="realesrgan")
    )
    assert both.background.shape[0] >= plain.background.shape[0]
    size = engine.frame_size(avatar, replace(STYLE, background_enhancer="realesrgan"))
    assert size == both.background.shape[1::-1]
    assert both.background.mean() > plain.background.mean() + 20
