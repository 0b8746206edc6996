"""A recording is heard while the avatar is prepared."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sadtalker_service.domain import SourceImage, Speech
from sadtalker_service.errors import EmptyAudio, NoFaceFound
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.store.cache import MemoryCache

OPTIONS = RenderOptions()


def test_it_begins_before_the_avatar_and_changes_nothing(
    engine, source_image: SourceImage, speech: Speech, tmp_path: Path
) -> None:
    def pipeline() -> Pipeline:
        return Pipeline(engine, MemoryCache(10**8))

    first = pipeline()
    plain = first.render(first.prepare(source_image, OPTIONS), speech, OPTIONS, tmp_path / "a.mp4")
    engine.calls.clear()
    second = pipeline()
    with second.hearing(speech, OPTIONS) as hearing:
        deadline = time.monotonic() + 10
        while not engine.calls["speech_features"] and time.monotonic() < deadline:
            time.sleep(0.005)
        assert engine.calls == {"speech_features": 1}
        prepared = second.prepare(source_image, OPTIONS)
        made = second.render(prepared, speech, OPTIONS, tmp_path / "b.mp4", hearing=hearing)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert engine.calls["speech_features"] == 1
    assert sorted(made.cache_misses) == sorted(plain.cache_misses)
    assert made.seconds.keys() == plain.seconds.keys()


def test_nothing_is_heard_after_the_avatar_failed(engine, speech: Speech) -> None:
    pipeline = Pipeline(engine, MemoryCache(10**8))
    dark = SourceImage("dark", np.zeros((96, 128, 3), np.uint8))
    with pytest.raises(NoFaceFound), pipeline.hearing(speech, OPTIONS):
        pipeline.prepare(dark, OPTIONS)
    assert not [thread for thread in threading.enumerate() if thread.name == "hearing"]


def test_an_error_of_hearing_is_raised_by_the_rendering(
    engine, source_image: SourceImage, speech: Speech, tmp_path: Path
) -> None:
    pipeline, short = Pipeline(engine, MemoryCache(10**8)), replace(speech, samples=speech.samples[:160])
    with pipeline.hearing(short, OPTIONS) as hearing:
        prepared = pipeline.prepare(source_image, OPTIONS)
        with pytest.raises(EmptyAudio):
            pipeline.render(prepared, short, OPTIONS, tmp_path / "v.mp4", hearing=hearing)
    assert not list(tmp_path.iterdir())
