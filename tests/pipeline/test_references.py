"""Reference motion is extracted once, cached, and passed to the engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.support.reference_videos import grey_video

from sadtalker_service.domain import Motion, Progress, SourceImage, Speech
from sadtalker_service.errors import UnreadableVideo
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.cached import CachedComputation
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.pipeline.progress import Reporter
from sadtalker_service.pipeline.references import ReferenceVideo, ReferenceVideos, extract_reference_motion
from sadtalker_service.store.cache import MemoryCache, NoCache


@pytest.fixture
def grey(tmp_path: Path) -> ReferenceVideo:
    return ReferenceVideo.of_file(grey_video(tmp_path / "grey.mp4", 200), "ref_pose")


def test_equal_files_are_one_video(grey: ReferenceVideo, tmp_path: Path) -> None:
    shutil.copy(grey.path, tmp_path / "copy.mp4")
    assert ReferenceVideo.of_file(tmp_path / "copy.mp4", "ref_pose").video_hash == grey.video_hash
    other = grey_video(tmp_path / "dark.mp4", 30)
    assert ReferenceVideo.of_file(other, "ref_pose").video_hash != grey.video_hash


def test_error_for_an_unreadable_file_names_its_option(tmp_path: Path) -> None:
    with pytest.raises(UnreadableVideo, match="Is a directory") as caught:
        ReferenceVideo.of_file(tmp_path, "ref_eyeblink")
    assert caught.value.param == "ref_eyeblink"


def test_video_is_read_once_for_both_uses_and_cached(sketch, grey: ReferenceVideo) -> None:
    cache = MemoryCache(10**8)
    both = extract_reference_motion(sketch, ReferenceVideos(grey, grey), "full", CachedComputation(cache))
    assert both.eyeblink is not None
    assert both.eyeblink is both.pose
    assert both.eyeblink.arrays["mean"][0] == pytest.approx(200, abs=3)
    again = CachedComputation(cache)
    assert extract_reference_motion(sketch, ReferenceVideos(pose=grey), "full", again).eyeblink is None
    assert (again.log.hits, sketch.calls["reference_motion"]) == (["reference"], 1)
    extract_reference_motion(sketch, ReferenceVideos(pose=grey), "crop", CachedComputation(cache))
    assert sketch.calls["reference_motion"] == 2  # the crop of the face differs


def test_reference_motion_and_enhancers_reach_the_engine(
    sketch, source_image: SourceImage, speech: Speech, grey: ReferenceVideo, tmp_path: Path
) -> None:
    prepared = Pipeline(sketch, NoCache()).prepare(source_image, RenderOptions(size=512))
    assert list(prepared.avatar.artefacts) == ["face_detection", "face_mesh_512"]
    seen: list[Progress] = []
    report = Pipeline(sketch, NoCache(), reporter=Reporter(seen.append)).render(
        prepared,
        speech,
        RenderOptions(size=512, batch_size=3),
        tmp_path / "v.mp4",
        references=ReferenceVideos(pose=grey),
    )
    assert [progress.stage for progress in seen[:3]] == ["speech_features", "reference_motion", "drive"]
    assert "reference" in report.cache_misses
    assert sketch.batches == [3]
    reference_motion = extract_reference_motion(
        sketch, ReferenceVideos(pose=grey), "full", CachedComputation(NoCache())
    )
    motion = sketch.drive(prepared.avatar, None, RenderOptions(size=512), 1.0, reference_motion)
    levels = Motion.joined(motion).coefficients["level"]
    np.testing.assert_allclose(levels, 200 / 4 / 400, rtol=0.05)
