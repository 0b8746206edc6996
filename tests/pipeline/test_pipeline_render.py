"""An avatar and driven audio become a video with an accurate report."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from sadtalker_service.domain import GestureCue, Progress, SourceImage, Speech, Track
from sadtalker_service.errors import Cancelled, EmptyAudio, InvalidOption, OutputError
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.pipeline import Pipeline, Prepared
from sadtalker_service.pipeline.progress import Reporter
from sadtalker_service.store.cache import MemoryCache, NoCache


@pytest.fixture
def prepared(engine, source_image: SourceImage) -> Prepared:
    return Pipeline(engine, NoCache()).prepare(source_image, RenderOptions())


def brightness(path: Path) -> NDArray[np.float64]:
    """Return the mean luma of the moving patch, per frame."""
    with av.open(str(path)) as container:
        return np.array([f.to_ndarray()[30:60, 40:80].mean() for f in container.decode(video=0)])


def test_the_video_follows_the_audio(engine, prepared: Prepared, speech: Speech, tmp_path: Path) -> None:
    report = Pipeline(engine, NoCache()).render(prepared, speech, RenderOptions(), tmp_path / "v.mp4")
    luma = brightness(tmp_path / "v.mp4")
    assert (report.frames, report.fps, len(luma)) == (50, 25, 50)
    assert luma[14:24].min() > luma[:11].max() + 50
    assert luma[28:].max() < 60
    with av.open(str(tmp_path / "v.mp4")) as container:
        sound = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)[0]
    loud = np.flatnonzero(np.abs(sound) > 0.2) / 44_100
    assert loud.min() == pytest.approx(0.5, abs=0.01)
    assert loud.max() == pytest.approx(1.0, abs=0.01)


def test_the_report_is_accurate(engine, source_image: SourceImage, speech: Speech, tmp_path: Path) -> None:
    cache = MemoryCache(10**8)
    first = Pipeline(engine, cache).render(
        Pipeline(engine, cache).prepare(source_image, RenderOptions()),
        speech,
        RenderOptions(fps=30),
        tmp_path / "v.mp4",
        warnings=("enhancer gfpgan was not applied.",),
    )
    assert (first.width, first.height, first.fps, first.frames) == (128, 96, 30, 60)
    assert first.video_seconds == 2.0
    assert first.size_bytes == (tmp_path / "v.mp4").stat().st_size
    assert first.real_time_factor == pytest.approx(2.0 / first.total_seconds)
    assert first.cache_misses == ("face_detection", "face_mesh", "motion")
    assert {"face_mesh", "speech_features", "drive", "render", "encode", "finish"} <= set(first.seconds)
    beside = ("encode", "sound", "mux", "starve", "speech_features", "drive")
    serial = sum(s for name, s in first.seconds.items() if name not in beside)
    assert serial <= first.total_seconds * 1.01
    assert first.warnings == ("enhancer gfpgan was not applied.",)

    again = Pipeline(engine, cache).render(
        Pipeline(engine, cache).prepare(source_image, RenderOptions()),
        speech,
        RenderOptions(),
        tmp_path / "w.mp4",
    )
    assert again.cache_hits == ("face_detection", "face_mesh", "motion")
    assert engine.calls["speech_features"] == 1
    kept = [
        a.seconds
        for a in Pipeline(engine, cache).prepare(source_image, RenderOptions()).avatar.artefacts.values()
    ]
    assert 0 < again.saved_seconds <= sum(kept) + first.seconds["speech_features"]
    assert first.saved_seconds == 0
    assert json.loads(json.dumps(again.to_json()))["cache_hits"] == list(again.cache_hits)


def test_progress_increases_to_the_end(engine, prepared: Prepared, speech: Speech, tmp_path: Path) -> None:
    seen: list[Progress] = []
    reporter = Reporter(seen.append)
    Pipeline(engine, NoCache(), reporter=reporter).render(
        prepared, speech, RenderOptions(), tmp_path / "v.mp4"
    )
    assert [p.stage for p in seen[:3]] == ["speech_features", "drive", "render"]
    frames = [p.frame for p in seen if p.stage == "render"]
    assert frames == [0, 8, 16, 24, 32, 40, 48, 50]
    assert all(p.total == 50 for p in seen if p.stage == "render")
    assert seen[-1].eta_seconds == 0
    assert seen[-1].fps > 0


def test_speed_and_time_left_follow_the_clock() -> None:
    now = iter([100.0, 102.0, 104.0])
    seen: list[Progress] = []
    reporter = Reporter(seen.append, clock=lambda: next(now))
    reporter.rendering(100)
    reporter.frames(10)
    reporter.frames(40)
    assert [(p.frame, p.fps, p.eta_seconds) for p in seen] == [
        (0, 0.0, None),
        (10, 5.0, 18.0),
        (40, 10.0, 6.0),
    ]


@pytest.mark.parametrize("stop_at", [0, 1, 16, 40])
def test_cancellation_takes_effect_within_a_batch_and_leaves_no_file(
    engine, prepared: Prepared, speech: Speech, tmp_path: Path, stop_at: int
) -> None:
    seen: list[int] = []
    reporter = Reporter(lambda p: seen.append(p.frame), lambda: bool(seen) and seen[-1] >= stop_at)
    with pytest.raises(Cancelled):
        Pipeline(engine, NoCache(), reporter=reporter).render(
            prepared, speech, RenderOptions(), tmp_path / "v.mp4"
        )
    assert seen[-1] <= stop_at + 8
    assert list(tmp_path.iterdir()) == []


def test_idle_video_has_the_requested_length_and_no_audio(engine, prepared: Prepared, tmp_path: Path) -> None:
    report = Pipeline(engine, NoCache()).render(
        prepared, None, RenderOptions(), tmp_path / "v.mp4", idle_seconds=1.5
    )
    with av.open(str(tmp_path / "v.mp4")) as container:
        assert len(container.streams.audio) == 0
    assert report.video_seconds == pytest.approx(1.5, abs=0.04)
    assert "speech_features" not in report.seconds


def test_idle_needs_a_length(engine, prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="one frame"):
        Pipeline(engine, NoCache()).render(
            prepared, None, RenderOptions(), tmp_path / "v.mp4", idle_seconds=0.01
        )


def test_speech_shorter_than_a_frame_is_refused(
    engine, prepared: Prepared, speech: Speech, tmp_path: Path
) -> None:
    tiny = Speech(speech.audio_hash, speech.samples[:100], speech.path)
    with pytest.raises(EmptyAudio, match="6 ms long"):
        Pipeline(engine, NoCache()).render(prepared, tiny, RenderOptions(), tmp_path / "v.mp4")


def test_gestures_after_the_end_get_a_warning(
    engine, prepared: Prepared, speech: Speech, tmp_path: Path
) -> None:
    style = RenderOptions(
        gestures=(GestureCue("smile", 0.5), GestureCue("nod_yes", 2.0)), input_yaw=Track((0.0, 40.0))
    )
    report = Pipeline(engine, NoCache()).render(prepared, speech, style, tmp_path / "v.mp4")
    assert report.warnings == (
        "gesture nod_yes@2 begins after the end of the video at 2.0 s.",
        "input_yaw was limited to 6 degrees.",
    )


def test_a_missing_folder_is_reported(engine, prepared: Prepared, speech: Speech, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        Pipeline(engine, NoCache()).render(prepared, speech, RenderOptions(), tmp_path / "no" / "v.mp4")


def test_equal_requests_give_equal_videos(engine, prepared: Prepared, speech: Speech, tmp_path: Path) -> None:
    for name in ("a", "b"):
        Pipeline(engine, NoCache()).render(prepared, speech, RenderOptions(), tmp_path / f"{name}.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


class Viewer:
    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.seen_at: list[str] = []
        self.stage = ""

    def write(self, data: bytes) -> int:
        self.pieces.append(data)
        self.seen_at.append(self.stage)
        return len(data)


def test_viewers_get_the_video_during_rendering(
    engine, prepared: Prepared, speech: Speech, tmp_path: Path
) -> None:
    viewer = Viewer()

    def follow(progress: Progress) -> None:
        viewer.stage = f"{progress.stage} {progress.frame}"

    reporter = Reporter(follow)
    Pipeline(engine, NoCache(), reporter=reporter).render(
        prepared, speech, RenderOptions(), tmp_path / "v.mp4", stream=viewer
    )
    (tmp_path / "s.mp4").write_bytes(b"".join(viewer.pieces))
    np.testing.assert_array_equal(brightness(tmp_path / "s.mp4"), brightness(tmp_path / "v.mp4"))
    assert viewer.seen_at[0] == "render 0", "what will come is told before anything is drawn"
    assert viewer.seen_at[1].startswith("render")
    assert len(viewer.pieces) == pytest.approx(1 + 10, abs=1)


def test_cached_audio_is_not_announced_separately(
    engine, prepared: Prepared, speech: Speech, tmp_path: Path
) -> None:
    cache = MemoryCache(10**8)
    first, again = Viewer(), Viewer()
    for viewer in (first, again):
        Pipeline(engine, cache).render(prepared, speech, RenderOptions(), tmp_path / "v.mp4", stream=viewer)
    assert first.pieces == again.pieces
    assert engine.calls["speech_features"] == 1


class BrokenViewer(Viewer):
    def write(self, data: bytes) -> int:
        super().write(data)
        raise ConnectionResetError("no viewer is connected")


def test_a_stream_that_fails_at_once_does_not_affect_the_video(
    engine, prepared: Prepared, speech: Speech, tmp_path: Path
) -> None:
    viewer = BrokenViewer()
    report = Pipeline(engine, NoCache()).render(
        prepared, speech, RenderOptions(), tmp_path / "v.mp4", stream=viewer
    )
    assert report.frames == len(brightness(tmp_path / "v.mp4")) == 50
    assert len(viewer.pieces) == 1, "it is not tried again"
