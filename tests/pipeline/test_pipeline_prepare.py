"""A source image becomes an avatar, and cached artefacts are not computed again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sadtalker_service.domain import Artefact, LazySourceImage, SourceImage
from sadtalker_service.engines.port import Stage
from sadtalker_service.errors import Cancelled, NoFaceFound
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.pipeline.progress import Reporter
from sadtalker_service.store.cache import MemoryCache, NoCache
from sadtalker_service.store.directory import DirectoryCache

ESSENTIAL = ["face_detection", "face_mesh"]


def replace_stages(engine, *stages: Stage) -> None:
    engine.stages_for = lambda options: stages


def test_the_second_time_all_artefacts_come_from_the_cache(
    engine, source_image: SourceImage, tmp_path: Path
) -> None:
    first = Pipeline(engine, DirectoryCache(tmp_path, 10**8)).prepare(source_image, RenderOptions())
    again = Pipeline(engine, DirectoryCache(tmp_path, 10**8)).prepare(source_image, RenderOptions())
    assert (first.cache.hits, first.cache.misses) == ([], ESSENTIAL)
    assert (again.cache.hits, again.cache.misses) == (ESSENTIAL, [])
    assert engine.calls == {"face_detection": 1, "face_mesh": 1}
    assert list(again.seconds) == ESSENTIAL
    for name in ESSENTIAL:
        ours, theirs = first.avatar.artefacts[name], again.avatar.artefacts[name]
        assert dict(ours.record) == dict(theirs.record)
        for key, array in ours.arrays.items():
            np.testing.assert_array_equal(array, theirs.arrays[key])


def test_stages_independent_of_the_mode_are_shared(engine, source_image: SourceImage) -> None:
    cache = MemoryCache(10**8)
    Pipeline(engine, cache).prepare(source_image, RenderOptions())
    other = Pipeline(engine, cache).prepare(source_image, RenderOptions(preprocess="crop"))
    assert (other.cache.hits, other.cache.misses) == (["face_detection"], ["face_mesh"])


def test_another_version_of_the_engine_computes_again(engine, source_image: SourceImage) -> None:
    cache = MemoryCache(10**8)
    Pipeline(engine, cache).prepare(source_image, RenderOptions())
    engine.version = "2"
    assert Pipeline(engine, cache).prepare(source_image, RenderOptions()).cache.misses == ESSENTIAL


def test_another_source_image_computes_again(engine, source_image: SourceImage) -> None:
    cache = MemoryCache(10**8)
    Pipeline(engine, cache).prepare(source_image, RenderOptions())
    other = replace(source_image, image_hash="f" * 64)
    assert Pipeline(engine, cache).prepare(other, RenderOptions()).cache.misses == ESSENTIAL


def test_previews_are_made_on_request(engine, source_image: SourceImage) -> None:
    assert (
        "visemes" not in Pipeline(engine, NoCache()).prepare(source_image, RenderOptions()).avatar.artefacts
    )
    assert (
        "visemes"
        in Pipeline(engine, NoCache()).prepare(source_image, RenderOptions(), previews=True).avatar.artefacts
    )


def test_a_failing_cache_only_costs_time(engine, source_image: SourceImage, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file stands in the way")
    made = Pipeline(engine, DirectoryCache(tmp_path / "cache", 10**8)).prepare(source_image, RenderOptions())
    assert made.cache.misses == ESSENTIAL
    assert len(made.cache.problems) >= 1
    assert "cannot write the cache" in made.cache.problems[0]


def test_a_damaged_cache_is_repaired(engine, source_image: SourceImage, tmp_path: Path) -> None:
    Pipeline(engine, DirectoryCache(tmp_path, 10**8)).prepare(source_image, RenderOptions())
    for file in tmp_path.rglob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-10])
    assert (
        Pipeline(engine, DirectoryCache(tmp_path, 10**8)).prepare(source_image, RenderOptions()).cache.misses
        == ESSENTIAL
    )
    assert (
        Pipeline(engine, DirectoryCache(tmp_path, 10**8)).prepare(source_image, RenderOptions()).cache.hits
        == ESSENTIAL
    )


def test_an_error_of_a_stage_propagates_and_nothing_is_cached(engine, source_image: SourceImage) -> None:
    cache = MemoryCache(10**8)
    black = replace(source_image, pixels=np.zeros_like(source_image.pixels))
    for _ in range(2):
        with pytest.raises(NoFaceFound):
            Pipeline(engine, cache).prepare(black, RenderOptions())
    assert engine.calls["face_detection"] == 2


def test_cancellation_takes_effect_between_stages(engine, source_image: SourceImage) -> None:
    reporter = Reporter(cancelled=lambda: engine.calls["face_detection"] > 0)
    with pytest.raises(Cancelled):
        Pipeline(engine, NoCache(), reporter=reporter).prepare(source_image, RenderOptions())
    assert engine.calls == {"face_detection": 1}


def test_cached_artefacts_are_enough_to_continue(engine, source_image: SourceImage, tmp_path: Path) -> None:
    made = Pipeline(engine, DirectoryCache(tmp_path, 10**8)).prepare(source_image, RenderOptions())
    kept = Pipeline(engine, DirectoryCache(tmp_path, 10**8)).prepare(
        replace(source_image, pixels=source_image.pixels * 0), RenderOptions()
    )
    plates = [p.avatar.artefacts["face_mesh"].arrays["background"] for p in (made, kept)]
    np.testing.assert_array_equal(*plates)
    assert isinstance(kept.avatar.artefacts["face_mesh"], Artefact)


def test_another_face_of_the_source_image_is_another_avatar(engine, source_image: SourceImage) -> None:
    cache = MemoryCache(10**8)
    seen: list[int] = []

    def watched(stage: Stage) -> Stage:
        def compute(image: SourceImage, *given: Any) -> Artefact:
            seen.append(image.face_index)
            return stage.compute(image, *given)

        return replace(stage, compute=compute)

    replace_stages(engine, *map(watched, engine.stages))
    pipeline = Pipeline(engine, cache)
    first = pipeline.prepare(source_image, RenderOptions())
    other = pipeline.prepare(source_image, RenderOptions(face_index=1))
    assert other.cache.misses == ESSENTIAL
    assert seen == [0, 0, 1, 1]
    assert (first.avatar.face_index, other.avatar.face_index) == (0, 1)
    assert pipeline.prepare(source_image, RenderOptions()).cache.hits == ESSENTIAL
    assert pipeline.prepare(source_image, RenderOptions(face_index=1)).cache.hits == ESSENTIAL


def test_a_cached_avatar_is_not_decoded_and_keeps_its_warnings(engine, source_image: SourceImage) -> None:
    opened: list[int] = []

    def load() -> SourceImage:
        opened.append(1)
        return replace(source_image, warnings=("Its frame 3 was taken.",))

    detect, *rest = engine.stages

    def compute(image: SourceImage, *given: Any) -> Artefact:
        made = detect.compute(image, *given)
        return replace(made, record={**made.record, "warnings": list(image.warnings)})

    replace_stages(engine, replace(detect, compute=compute), *rest)
    pipeline = Pipeline(engine, MemoryCache(10**8))
    for _ in range(2):
        image = LazySourceImage(source_image.image_hash, load)
        for face in range(2):
            avatar = pipeline.prepare(image, RenderOptions(face_index=face)).avatar
            assert avatar.warnings == ("Its frame 3 was taken.",)
    assert opened == [1]


def test_an_avatar_has_the_warnings_of_its_stages_also_from_the_cache(
    engine, source_image: SourceImage
) -> None:
    detect, mesh, *rest = engine.stages

    def telling(stage: Stage, *words: str) -> Stage:
        def compute(*given: Any) -> Artefact:
            made = stage.compute(*given)
            return replace(made, record={**made.record, "warnings": list(words)})

        return replace(stage, compute=compute)

    replace_stages(engine, telling(detect, "One.", "Two."), telling(mesh, "Two.", "Three."), *rest)
    cache = MemoryCache(10**8)
    for _ in range(2):
        assert Pipeline(engine, cache).prepare(source_image, RenderOptions()).avatar.warnings == (
            "One.",
            "Two.",
            "Three.",
        )
