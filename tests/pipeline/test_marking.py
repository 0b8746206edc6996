"""Every video of the pipeline is marked, or says in the log that it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import pytest
from structlog.testing import capture_logs
from tests.support.manifests import manifest_of, origin_of

from sadtalker_service.domain import SourceImage, Speech, SpokenTimeline, TimedLabel
from sadtalker_service.errors import MarkingFailed
from sadtalker_service.media.marking.credentials import Credentials
from sadtalker_service.media.marking.marker import Marker
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.marking import marker_of
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.settings import Settings
from sadtalker_service.store.cache import NoCache


class Viewer:
    def __init__(self) -> None:
        self.seen = b""

    def write(self, data: bytes) -> int:
        self.seen += data
        return len(data)


def test_captions_come_before_the_signature_and_the_stream_has_tags(
    engine, source_image: SourceImage, speech: Speech, tmp_path: Path
) -> None:
    words = SpokenTimeline(words=(TimedLabel("hello", 0.2, 0.9),), phonemes=())
    options, viewer = RenderOptions(captions="track"), Viewer()
    pipeline = Pipeline(engine, NoCache(), marker=marker_of(Settings(data_dir=tmp_path / "data")))
    prepared = pipeline.prepare(source_image, options)
    path = tmp_path / "v.mp4"
    result = pipeline.render(prepared, replace(speech, timeline=words), options, path, stream=viewer)
    store = manifest_of(path)
    assert store["validation_state"] == "Valid"
    assert origin_of(store) == engine.capabilities.source_type
    assert result.size_bytes == path.stat().st_size
    (tmp_path / "stream.mp4").write_bytes(viewer.seen)
    for file in (path, tmp_path / "stream.mp4"):
        with av.open(str(file)) as container:
            assert container.metadata["comment"].startswith("Synthetic media")
            assert len(container.streams) == (3 if file == path else 2)


def test_off_is_said_and_leaves_the_file_alone(
    engine, source_image: SourceImage, speech: Speech, tmp_path: Path
) -> None:
    with capture_logs() as said:
        marker = marker_of(Settings(data_dir=tmp_path / "data", mark_videos=False))
    assert [line["event"] for line in said] == ["videos_not_marked"]
    pipeline = Pipeline(engine, NoCache(), marker=marker)
    prepared = pipeline.prepare(source_image, RenderOptions())
    pipeline.render(prepared, speech, RenderOptions(), tmp_path / "v.mp4")
    with av.open(str(tmp_path / "v.mp4")) as container:
        assert "comment" not in container.metadata
    assert b"c2pa" not in (tmp_path / "v.mp4").read_bytes()
    assert not (tmp_path / "data").exists()


def test_a_video_that_cannot_be_marked_is_not_handed_out(
    engine, source_image: SourceImage, speech: Speech, tmp_path: Path
) -> None:
    pipeline = Pipeline(engine, NoCache(), marker=Marker(Credentials("no key", "no certificate"), "1"))
    prepared = pipeline.prepare(source_image, RenderOptions())
    with pytest.raises(MarkingFailed):
        pipeline.render(prepared, speech, RenderOptions(), tmp_path / "v.mp4")
    assert list(tmp_path.iterdir()) == []
