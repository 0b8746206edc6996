"""The engine as the pipeline sees it."""

from pathlib import Path

import pytest

from sadtalker_service.domain import Avatar
from sadtalker_service.engines.mesh import MeshEngine
from sadtalker_service.engines.mesh.kernels import frame, texels
from sadtalker_service.engines.mesh.warmup import warm_up_renderer
from sadtalker_service.errors import FaceTooSmall
from sadtalker_service.media.image import decode_image
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.settings import get_settings
from sadtalker_service.store.cache import NoCache
from sadtalker_service.store.codec import decode, encode

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def source_image():
    return decode_image((EXAMPLES / "portrait.jpg").read_bytes(), max_bytes=10**8, max_pixels=10**8)


def test_the_smallest_face_is_a_setting(monkeypatch, source_image):
    monkeypatch.setenv("MIN_FACE_PIXELS", "400")
    get_settings.cache_clear()
    try:
        with pytest.raises(FaceTooSmall, match="400"):
            Pipeline(MeshEngine(), NoCache()).prepare(source_image, RenderOptions(preprocess="crop"))
    finally:
        get_settings.cache_clear()


def test_previews_show_every_mouth_shape(source_image):
    engine = MeshEngine()
    artefacts = dict(
        Pipeline(engine, NoCache()).prepare(source_image, RenderOptions(preprocess="crop")).avatar.artefacts
    )
    stages = {stage.name: stage for stage in engine.stages}
    visemes = stages["visemes"].compute(source_image, "crop", artefacts)
    pictures = visemes.arrays["pictures"].astype(float)
    letters = visemes.record["letters"]
    assert "".join(letters) == "AEIOUMBPFVSTLR"
    assert pictures.shape == (15, 192, 192, 3)
    apart = [abs(a - b).mean() for k, a in enumerate(pictures) for b in pictures[:k]]
    assert min(apart) > 0.05
    clips = stages["gestures"].compute(source_image, "crop", artefacts)
    assert sorted(clips.arrays) == ["blink", "hello", "nod_no", "nod_yes", "smile"]


@pytest.mark.parametrize("mode", ["full", "crop", "resize"])
@pytest.mark.parametrize("cached", [False, True])
def test_after_the_warm_up_no_request_compiles_a_kernel(source_image, mode, cached):
    warm_up_renderer()
    kernels = (frame.draw_frames, texels._upsample)
    compiled = [len(kernel.signatures) for kernel in kernels]
    engine = MeshEngine()
    avatar = Pipeline(engine, NoCache()).prepare(source_image, RenderOptions(preprocess=mode)).avatar
    if cached:
        read = {name: decode(encode(artefact)) for name, artefact in avatar.artefacts.items()}
        avatar = Avatar(avatar.image_hash, avatar.engine, avatar.mode, read)
    style = RenderOptions(preprocess=mode)
    for batch in engine.render(avatar, engine.drive(avatar, None, style, 0.2), style).batches:
        assert len(batch) > 0
    assert [len(kernel.signatures) for kernel in kernels] == compiled
