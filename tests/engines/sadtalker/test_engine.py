"""The engine through the pipeline's interface, with synthetic checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.sadtalker_weights import picture

torch = pytest.importorskip("torch")

from sadtalker_service.domain import Artefact, Avatar, Motion, Track  # noqa: E402
from sadtalker_service.engines.port import NO_REFERENCES, References  # noqa: E402
from sadtalker_service.engines.sadtalker.engine import SadTalkerEngine  # noqa: E402
from sadtalker_service.engines.sadtalker.speaking import spoken_motion  # noqa: E402
from sadtalker_service.media.image import decode_image  # noqa: E402
from sadtalker_service.media.video import write_video  # noqa: E402
from sadtalker_service.options import RenderOptions  # noqa: E402
from sadtalker_service.settings import Settings  # noqa: E402

EXAMPLES = Path(__file__).parents[3] / "examples"
KEYPOINTS = 2e-5
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def engine(checkpoints: Path) -> SadTalkerEngine:
    return SadTalkerEngine(Settings(sadtalker_checkpoints_path=checkpoints, sadtalker_device="cpu"))


@pytest.fixture(scope="module")
def source_image() -> Any:
    data = (EXAMPLES / "portrait.jpg").read_bytes()
    return decode_image(data, max_bytes=len(data), max_pixels=10_000_000)


@pytest.fixture(scope="module")
def avatars(engine: SadTalkerEngine, source_image: Any) -> Any:
    """Mode -> avatar, prepared once."""
    known: dict[str, Avatar] = {}

    def avatar(mode: Any) -> Avatar:
        if mode not in known:
            artefacts: dict[str, Artefact] = {}
            for stage in engine.stages:
                artefacts[stage.name] = stage.compute(source_image, mode, artefacts)
            known[mode] = Avatar(source_image.image_hash, engine.name, mode, artefacts)
        return known[mode]

    return avatar


@pytest.fixture(scope="module")
def speech_features(engine: SadTalkerEngine) -> list[Artefact]:
    """A quarter of a second of voice-like audio."""
    times = np.arange(4000) / 16000
    samples = (0.3 * np.sin(2 * np.pi * 140 * times) * np.sin(2 * np.pi * 4 * times)).astype(np.float32)
    return list(engine.extract_speech_features(iter([samples])))


def driven(
    engine: SadTalkerEngine,
    avatar: Avatar,
    speech_features: list[Artefact] | None,
    style: RenderOptions,
    duration: float,
    references: References = NO_REFERENCES,
) -> Motion:
    """The motion of a whole video."""
    features = None if speech_features is None else iter(speech_features)
    return Motion.joined(engine.drive(avatar, features, style, duration, references))


def test_avatar_is_small_and_complete(engine: SadTalkerEngine, avatars: Any) -> None:
    artefacts = avatars("full").artefacts
    assert list(artefacts) == ["face_detection", "face_crop", "3dmm_coeffs", "face_mesh", "background"]
    assert artefacts["face_crop"].arrays["square"].shape == (256, 256, 3)
    assert artefacts["3dmm_coeffs"].arrays["row"].shape == (73,)
    volume = artefacts["face_mesh"].arrays["volume"]
    assert (volume.shape, volume.dtype) == ((32, 16, 64, 64), np.float16)
    assert 4 * MEGABYTE < artefacts["face_mesh"].nbytes() < 4.3 * MEGABYTE
    assert "picture" not in avatars("crop").artefacts["background"].arrays


def test_stages_of_another_size_have_other_names(engine: SadTalkerEngine) -> None:
    small, large = (
        [stage.name for stage in engine.stages_for(RenderOptions(size=size))] for size in (256, 512)
    )
    assert large == ["face_detection", "face_crop_512", "3dmm_coeffs_512", "face_mesh_512", "background"]
    assert small == [name.removesuffix("_512") for name in large]


def test_keypoints_are_those_of_the_original(engine: SadTalkerEngine, golden: Any) -> None:
    """A whole video in one pass, compared with separate windows."""
    wanted, rows = golden("e2e_frames"), golden("e2e_audio")["A.coeff"][20:24]
    networks = engine._inference.motion(256)
    photo = np.round(picture(256) * 255).astype(np.uint8).transpose(1, 2, 0)
    face = networks.encode(photo, wanted["crop4.source"], full_frame=False)
    assert np.abs(face.keypoints - wanted["crop4.kp_source"][0]).max() < KEYPOINTS
    found = networks.keypoints(rows, face.canonical, {}, full_frame=False)
    assert np.abs(found - wanted["crop4.kp_driving"].reshape(4, 15, 3)).max() < KEYPOINTS


def test_free_view_is_that_of_the_original(engine: SadTalkerEngine, golden: Any) -> None:
    """Mode `full`. Of four frames, the first and the third are stored."""
    wanted = golden("e2e_frames")
    networks = engine._inference.motion(256)
    photo = np.round(picture(256) * 255).astype(np.uint8).transpose(1, 2, 0)
    source = wanted["full4_angles.source"]
    face = networks.encode(photo, source, full_frame=True)
    assert np.abs(face.keypoints - wanted["full4_angles.kp_source"][0]).max() < KEYPOINTS
    for lane in range(2):
        window = wanted["full4_angles.target"][lane, 0].T
        view = {
            name: np.full(len(window), wanted[f"full4_angles.{name}_c_seq"][lane, 0], np.float32)
            for name in ("yaw", "pitch", "roll")
        }
        found = networks.keypoints(window, face.canonical, view, full_frame=True)[13]
        assert np.abs(found - wanted["full4_angles.kp_driving"][lane, 0]).max() < KEYPOINTS


def test_sixteen_bits_in_the_cache_are_not_visible(
    engine: SadTalkerEngine, avatars: Any, speech_features: list[Artefact]
) -> None:
    """Compares a frame of the cached features with one of the features before rounding.

    Uses only the middle of the features.
    """
    avatar = avatars("crop")
    mesh = avatar.artefacts["face_mesh"].arrays
    motion = driven(engine, avatar, speech_features, RenderOptions(preprocess="crop", size=256), 0.08)
    models: Any = engine._inference
    networks, driving = models._models.of_size(256), motion.coefficients["keypoints"][1:2]
    square = torch.from_numpy(avatar.artefacts["face_crop"].arrays["square"].copy())
    exact = networks.renderer.encode_source(square.permute(2, 0, 1)[None].float() / 255).volume
    middle = (..., slice(16, 48), slice(16, 48))

    def drawn(volume: Any) -> Any:
        keypoints = torch.from_numpy(mesh["keypoints"])[None]
        scene = networks.renderer.scene(volume, keypoints)
        return networks.renderer.render(scene, torch.from_numpy(driving))

    kept = torch.from_numpy(mesh["volume"])[None].float()
    difference = (drawn(exact[middle]) - drawn(kept[middle])).abs()
    assert difference.mean() < 0.5 / 255
    assert difference.max() < 4 / 255


@pytest.mark.parametrize(("fps", "frames"), [(25, 6), (24, 6), (50, 12)])
def test_motion_has_as_many_frames_as_the_audio(
    engine: SadTalkerEngine, avatars: Any, speech_features: list[Artefact], fps: int, frames: int
) -> None:
    motion = driven(
        engine, avatars("crop"), speech_features, RenderOptions(preprocess="crop", size=256, fps=fps), 0.25
    )
    assert motion.coefficients["keypoints"].shape == (frames, 15, 3)
    assert motion.coefficients["keypoints"].dtype == np.float32


def test_motion_made_in_pieces_is_that_of_the_whole_clip(engine: SadTalkerEngine, avatars: Any) -> None:
    """At another rate, with an angle that depends on the length."""
    avatar, seconds = avatars("full"), 2.6
    options = RenderOptions(size=256, seed=5, preprocess="full", fps=30, input_yaw=Track((-20.0, 20.0)))
    times = np.arange(round(16_000 * seconds)) / 16_000
    samples = (0.3 * np.sin(2 * np.pi * 140 * times) * np.sin(2 * np.pi * 4 * times)).astype(np.float32)

    def parts(piece: int) -> list[Any]:
        features, networks = engine.extract_speech_features(iter([samples])), engine._networks(256)
        motion = spoken_motion(avatar, networks, features, options, seconds, NO_REFERENCES, piece)
        return [part.coefficients["keypoints"] for part in motion]

    whole, cut = parts(256), parts(32)
    assert [len(part) for part in whole] == [78]
    assert len(cut) == 3
    assert np.abs(whole[0] - np.concatenate(cut)).max() < KEYPOINTS


def test_other_rates_show_the_same_motion(
    engine: SadTalkerEngine, avatars: Any, speech_features: list[Artefact]
) -> None:
    style = RenderOptions(preprocess="crop", size=256)
    usual = driven(engine, avatars("crop"), speech_features, style, 0.25).coefficients["keypoints"]
    fast = driven(engine, avatars("crop"), speech_features, replace(style, fps=50), 0.25).coefficients[
        "keypoints"
    ]
    assert np.abs(fast[::2] - usual).max() < 1e-6
    assert np.abs(fast[1:-1:2] - (usual[1:] + usual[:-1]) / 2).max() < 1e-6


def test_equal_seeds_give_equal_motion(
    engine: SadTalkerEngine, avatars: Any, speech_features: list[Artefact]
) -> None:
    def keypoints(**style: Any) -> Any:
        found = driven(
            engine,
            avatars("full"),
            speech_features,
            RenderOptions(preprocess="full", size=256, **style),
            0.25,
        )
        return found.coefficients["keypoints"]

    first = keypoints(seed=3)
    assert np.array_equal(first, keypoints(seed=3))
    assert np.abs(first - keypoints(seed=4)).max() > 1e-4
    assert np.abs(first - keypoints(seed=3, pose_style=7)).max() > 1e-4
    assert np.abs(first - keypoints(seed=3, still=True)).max() > 1e-4
    assert np.abs(first - keypoints(seed=3, expression_scale=2.0)).max() > 1e-4
    turned = keypoints(seed=3, input_yaw=Track((-20.0, 20.0)))
    assert np.abs(first - turned).max() > 1e-2


def test_idle_video_moves_without_audio(engine: SadTalkerEngine, avatars: Any) -> None:
    motion = driven(engine, avatars("crop"), None, RenderOptions(preprocess="crop", size=256), 0.6)
    keypoints = motion.coefficients["keypoints"]
    assert len(keypoints) == 15
    assert np.abs(keypoints - keypoints[0]).max() > 1e-4


def test_reference_video_drives_the_motion(
    engine: SadTalkerEngine, avatars: Any, source_image: Any, speech_features: list[Artefact], tmp_path: Path
) -> None:
    """A video in which the example face moves from left to right."""
    video = moving(source_image.pixels, tmp_path / "reference.mp4", frames=8)
    reference_motion = engine.extract_reference_motion(video, "full")
    assert reference_motion.arrays["rows"].shape == (8, 73)
    avatar = avatars("full")

    def keypoints(references: References, **style: Any) -> Any:
        wanted = RenderOptions(preprocess="full", size=256, **style)
        return driven(engine, avatar, speech_features, wanted, 0.25, references).coefficients["keypoints"]

    plain = keypoints(References())
    assert np.abs(plain - keypoints(References(pose=reference_motion))).max() > 1e-4
    assert np.abs(plain - keypoints(References(eyeblink=reference_motion))).max() > 1e-4
    still = keypoints(References(), still=True)
    assert np.array_equal(still, keypoints(References(pose=reference_motion), still=True)), (
        "only the head moves"
    )


def test_frames_are_pasted_and_can_be_written(
    engine: SadTalkerEngine, avatars: Any, speech_features: list[Artefact], tmp_path: Path
) -> None:
    avatar, style = avatars("full"), RenderOptions(preprocess="full", size=256)
    motion = driven(engine, avatar, speech_features, style, 0.04)
    rendering = engine.render(avatar, iter([motion]), style)
    batches = list(rendering.batches)
    x0, y0, x1, y1 = rendering.box
    assert [len(batch) for batch in batches] == [1]
    assert all(batch.shape[1:] == (y1 - y0, x1 - x0, 3) for batch in batches)
    assert all(batch.dtype == np.uint8 for batch in batches)
    assert rendering.background.shape == (512, 512, 3), "the size of the source image"
    assert np.abs(batches[0][0, 0].astype(int) - rendering.background[y0, x0:x1]).max() <= 1, "joined to it"
    video = write_video(replace(rendering, batches=iter(batches)), tmp_path / "video.mp4")
    assert (video.width, video.height, video.frames, video.fps) == (512, 512, 1, 25)


@pytest.mark.parametrize(
    ("mode", "shape"), [("crop", (256, 256)), ("resize", (256, 256)), ("extfull", (512, 512))]
)
def test_every_mode_places_its_frames(
    engine: SadTalkerEngine, avatars: Any, speech_features: list[Artefact], mode: Any, shape: tuple[int, int]
) -> None:
    style = RenderOptions(preprocess=mode, size=256)
    motion = driven(engine, avatars(mode), speech_features, style, 0.04)
    rendering = engine.render(avatars(mode), iter([motion]), style)
    height, width = rendering.background.shape[:2]
    assert engine.frame_size(avatars(mode), style) == (width, height)
    x0, y0, x1, y1 = rendering.box
    assert all(edge % 2 == 0 for edge in (*rendering.box, height, width))
    assert 0 <= x0 < x1 <= width
    assert 0 <= y0 < y1 <= height
    assert (abs(width - shape[0]), abs(height - shape[1])) <= (2, 10)
    assert ((x0, y0, x1, y1) == (0, 0, width, height)) == (mode != "extfull")


def moving(pixels: Any, path: Path, *, frames: int) -> Path:
    """The image, shifted by a few more pixels in each frame."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = pixels.shape[1], pixels.shape[0], "yuv420p"
        for number in range(frames):
            shifted = np.roll(pixels, 4 * number, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shifted, format="rgb24")))
        container.mux(stream.encode(None))
    return path
