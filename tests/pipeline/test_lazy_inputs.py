"""Source images and driven audio are opened only if something must be computed from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from sadtalker_service.domain import LazySourceImage, LazySpeech, SourceImage, Speech
from sadtalker_service.errors import NotFound
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.store.cache import MemoryCache, NoCache

Make = Callable[[], tuple[LazySourceImage, LazySpeech]]


@pytest.fixture
def opened() -> Counter[str]:
    return Counter()


@pytest.fixture
def inputs(source_image: SourceImage, speech: Speech, opened: Counter[str]) -> Make:
    """A lazy source image and lazy driven audio, as in a new job; `opened` counts openings."""

    def open_image() -> SourceImage:
        opened["picture"] += 1
        return source_image

    def open_audio() -> Speech:
        opened["recording"] += 1
        return speech

    def make() -> tuple[LazySourceImage, LazySpeech]:
        return (
            LazySourceImage(source_image.image_hash, open_image),
            LazySpeech(speech.audio_hash, speech.duration, speech.path, open_audio),
        )

    return make


def video(pipeline: Pipeline, inputs: Make, path: Path) -> bytes:
    image, recording = inputs()
    options = RenderOptions()
    pipeline.render(pipeline.prepare(image, options), recording, options, path)
    return path.read_bytes()


def test_a_cached_video_opens_neither(engine, inputs: Make, opened: Counter[str], tmp_path: Path) -> None:
    pipeline = Pipeline(engine, MemoryCache(10**8))
    first = video(pipeline, inputs, tmp_path / "a.mp4")
    assert opened == {"picture": 1, "recording": 1}, "once for all stages"
    assert video(pipeline, inputs, tmp_path / "b.mp4") == first
    assert opened == {"picture": 1, "recording": 1}


def test_without_a_cache_both_are_opened_once_for_each_video(
    engine, inputs: Make, opened: Counter[str], tmp_path: Path
) -> None:
    for _ in range(2):
        video(Pipeline(engine, NoCache()), inputs, tmp_path / "v.mp4")
    assert opened == {"picture": 2, "recording": 2}


def test_lazy_and_opened_inputs_give_the_same_video(
    engine, source_image: SourceImage, speech: Speech, inputs: Make, tmp_path: Path
) -> None:
    pipeline, options = Pipeline(engine, NoCache()), RenderOptions()
    pipeline.render(pipeline.prepare(source_image, options), speech, options, tmp_path / "opened.mp4")
    assert video(pipeline, inputs, tmp_path / "lazy.mp4") == (tmp_path / "opened.mp4").read_bytes()


def test_a_missing_source_image_raises_when_it_is_needed(engine, source_image: SourceImage) -> None:
    def gone() -> SourceImage:
        raise NotFound("The source image is not kept any more. Upload it again.")

    cache = MemoryCache(10**8)
    with pytest.raises(NotFound):
        Pipeline(engine, cache).prepare(LazySourceImage(source_image.image_hash, gone), RenderOptions())
    Pipeline(engine, cache).prepare(source_image, RenderOptions())
    Pipeline(engine, cache).prepare(LazySourceImage(source_image.image_hash, gone), RenderOptions())


def test_the_default_size_is_that_of_the_engine(sketch, source_image: SourceImage) -> None:
    pipeline = Pipeline(sketch, NoCache())
    small = pipeline.prepare(source_image, RenderOptions()).avatar
    assert list(small.artefacts) == ["face_detection", "face_mesh"]
    large = pipeline.prepare(source_image, RenderOptions(size=512)).avatar
    assert list(large.artefacts) == ["face_detection", "face_mesh_512"]
