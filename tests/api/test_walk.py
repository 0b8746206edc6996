"""Requests through the API, with the test in the role of the worker."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
from tests.cases.recordings import encode
from tests.support.jobs import OUTCOME
from tests.support.running_api import VIDEO, RunningApi, audio_bytes, image_bytes, sha256
from tests.support.running_service import until

from sadtalker_service.media.audio import decode_speech
from sadtalker_service.pipeline.decoded_speech import find_decoded


def test_upload_is_accepted_and_prepared_in_the_background(api: RunningApi, client: httpx.Client) -> None:
    answer = client.post("/api/avatar/upload", files={"image_file": ("me.png", image_bytes())})
    assert answer.status_code == 202
    body = answer.json()
    assert body["image_id"] == sha256(image_bytes())
    assert (body["status"], body["preprocess_mode"]) == ("processing", "full")
    assert api.tickets.prepared == [(body["image_id"], "full")]
    assert api.kept() == {f"portraits/{body['image_id']}"}
    assert api.unfinished() == []


def test_upload_reports_the_time_of_earlier_preparations(api: RunningApi, client: httpx.Client) -> None:
    first = api.upload(client, image_bytes(1))
    assert first["estimated_time"].startswith("not measured yet")
    api.prepare(first["image_id"])
    assert api.upload(client, image_bytes(2))["estimated_time"] == "about 0.12 seconds (first time only)"


def test_upload_of_a_ready_source_image_says_so(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    api.prepare(image_id)
    answer = client.post("/api/avatar/upload", files={"image_file": ("again.png", image_bytes())})
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "already_processed"
    assert body["cached_stages"] == ["face_detection", "face_mesh"]
    assert body["cache_summary"]["image_hash"] == image_id
    assert api.tickets.prepared == [(image_id, "full")]


def test_each_mode_is_a_separate_avatar(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    assert api.upload(client, preprocess_mode="crop")["status"] == "processing"
    assert api.tickets.prepared == [(image_id, "full"), (image_id, "crop")]
    assert client.get(f"/api/avatar/status/{image_id}?preprocess_mode=crop").json()["status"] == "processing"
    assert client.get(f"/api/avatar/status/{image_id}?preprocess_mode=extfull").status_code == 404


def test_each_face_is_a_separate_avatar(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    other = api.upload(client, face_index="1")
    assert (other["image_id"], other["face_index"], other["status"]) == (image_id, 1, "processing")
    assert other["next_step"].endswith(f"/{image_id}?preprocess_mode=full&face_index=1")
    assert api.tickets.prepared == [(image_id, "full"), (image_id, "full.1")]
    boxes = ((10.0, 8.0, 40.0, 38.0), (60.0, 8.0, 80.0, 28.0))
    api.prepare(image_id, faces=boxes, warnings=("There are 2 faces.",))
    first = client.get(f"/api/avatar/status/{image_id}").json()
    assert (first["status"], first["face_index"], first["warnings"]) == ("ready", 0, ["There are 2 faces."])
    assert first["faces"] == [list(box) for box in boxes]
    second = client.get(f"/api/avatar/status/{image_id}?face_index=1").json()
    assert (second["status"], second["face_index"], second["faces"]) == ("processing", 1, [])
    assert client.get(f"/api/avatar/status/{image_id}?face_index=2").status_code == 404
    assert {item["face_index"] for item in client.get("/api/avatar").json()["avatars"]} == {0, 1}
    assert client.get(f"/api/image/{image_id}/summary").json()["preprocess_modes"] == ["full"]
    assert client.delete(f"/api/avatar/{image_id}").status_code == 204
    assert client.get(f"/api/avatar/status/{image_id}?face_index=1").status_code == 404


def test_missing_face_is_refused_with_the_number_of_faces(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    boxes = ((10.0, 8.0, 40.0, 38.0), (60.0, 8.0, 80.0, 28.0))
    api.prepare(image_id, faces=boxes)
    upload = client.post(
        "/api/avatar/upload", files={"image_file": ("a.png", image_bytes())}, data={"face_index": "2"}
    )
    for answer in (upload, api.generate(client, image_id, face_index="2")):
        assert answer.status_code == 422
        error = answer.json()["error"]
        assert (error["code"], error["param"]) == ("invalid_option", "face_index")
        assert "has 2 faces. Choose from 0 (the largest) to 1" in error["message"]
    for nonsense in ("-1", "one", "1.5", "1000"):
        refused = client.post(
            "/api/avatar/upload",
            files={"image_file": ("a.png", image_bytes())},
            data={"face_index": nonsense},
        )
        assert (refused.status_code, refused.json()["error"]["param"]) == (422, "face_index")


def test_video_of_another_face_is_a_different_video(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    api.prepare(image_id, warnings=("There are 2 faces.",))
    first, other = api.generate(client, image_id), api.generate(client, image_id, face_index="1")
    assert first.json()["warnings"] == ["There are 2 faces."]
    assert other.json()["warnings"] == []
    assert other.json()["settings"]["face_index"] == 1
    sessions = [api.services.sessions.get(answer.json()["session_id"]) for answer in (first, other)]
    keys = [session.result_key for session in sessions if session]
    assert len(set(keys)) == 2
    assert api.tickets.prepared[-1] == (image_id, "full.1")


def test_avatar_shows_progress_face_and_error(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    path = f"/api/avatar/status/{image_id}"
    api.services.avatars.stage(image_id, "full", "face_mesh")
    processing = client.get(path).json()
    assert (processing["status"], processing["progress"]["stage"]) == ("processing", "face_mesh")
    assert processing["performance_ready"] is None
    api.prepare(image_id)
    ready = client.get(path).json()
    assert ready["status"] == "ready"
    assert ready["face"] == {"box": [10.0, 8.0, 40.0, 38.0], "confidence": 0.93}
    assert ready["performance_ready"]["generation_time"] == "not measured yet"
    assert ready["processing_seconds"] == {"face_detection": 0.02, "face_mesh": 0.1}

    other = api.upload(client, image_bytes(3))["image_id"]
    api.refuse(other)
    failed = client.get(f"/api/avatar/status/{other}").json()
    assert failed["status"] == "failed"
    assert failed["error"]["code"] == "no_face_found"
    assert failed["error"]["param"] == "image_file"


def test_avatars_are_listed_page_by_page(api: RunningApi, client: httpx.Client) -> None:
    for seed in range(5):
        api.upload(client, image_bytes(seed))
    seen, cursor = [], None
    while True:
        page = client.get("/api/avatar", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [item["image_id"] for item in page["avatars"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == sorted(sha256(image_bytes(seed)) for seed in range(5))


def test_unreachable_height_is_a_warning_if_it_was_requested(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client, image_bytes(3, (64, 48)))["image_id"]
    asked = api.generate(client, image_id, quality="high").json()["warnings"]
    said = "The video is 48 pixels high, not the 1080 of quality high: the source image is 48 pixels high"
    assert asked == [f"{said}, and it is not enlarged."]
    assert api.generate(client, image_id).json()["warnings"] == []


def test_video_from_request_to_download(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    answer = api.generate(client, image_id)
    assert answer.status_code == 202
    body = answer.json()
    session_id = body["session_id"]
    assert (body["status"], body["queue_position"]) == ("queued", 1)
    assert body["settings"]["still_mode"] is False
    assert body["settings"]["quality"] == "medium"
    assert body["estimated_time"] == "not measured yet"
    assert body["links"]["download"] == f"/api/vip/download/{session_id}"
    assert api.tickets.generated == [session_id]

    queued = client.get(body["links"]["status"]).json()
    assert (queued["status"], queued["queue_position"]) == ("queued", 1)
    assert queued["queue_info"] == {"queue_size": 1, "processing": False, "current_session": None}

    session = api.begin(session_id)
    api.move(session, 20)
    generating = client.get(body["links"]["status"]).json()
    assert generating["status"] == "generating"
    assert generating["progress"]["percent"] == 40.0
    assert generating["progress"]["eta_seconds"] == pytest.approx(0.3)

    api.finish(session)
    ready = client.get(body["links"]["status"]).json()
    assert (ready["status"], ready["video_ready"]) == ("ready", True)
    assert (ready["progress"]["percent"], ready["progress"]["eta_seconds"]) == (100.0, 0.0)
    assert ready["performance"]["total_time"] == "1.500s"
    assert ready["performance"]["estimated_without_cache"] == "1.750s"
    assert ready["performance"]["speedup"] == "1.2x faster"
    assert ready["performance"]["seconds"]["video_render_time"] == 1.0
    assert ready["performance"]["real_time_factor"] == pytest.approx(OUTCOME.video_seconds / 1.5, abs=0.01)
    assert ready["video"]["frames"] == 50
    video = client.get(ready["download_url"])
    assert video.content == VIDEO
    assert video.headers["content-type"] == "video/mp4"
    expected = f'attachment; filename="sadtalker_vip_{session_id[:8]}.mp4"'
    assert video.headers["content-disposition"] == expected


def test_known_result_is_ready_at_once(api: RunningApi, client: httpx.Client) -> None:
    api.make(api.accepted(client))
    answer = api.generate(client, sha256(image_bytes()))
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["queue_position"], body["video_ready"]) == ("ready", 0, True)
    assert client.get(body["download_url"]).content == VIDEO
    assert body["performance"]["seconds"]["total_time"] < 1.5
    assert body["performance"]["seconds"]["estimated_without_cache"] == 1.75
    assert len(api.tickets.generated) == 1


def test_video_of_a_source_image_in_preparation_is_accepted(api: RunningApi, client: httpx.Client) -> None:
    assert api.generate(client, api.upload(client)["image_id"]).status_code == 202


def test_video_of_a_source_image_without_a_face_gets_that_error(
    api: RunningApi, client: httpx.Client
) -> None:
    image_id = api.upload(client)["image_id"]
    api.refuse(image_id)
    answer = api.generate(client, image_id)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "no_face_found"
    assert not any(name.startswith("speech/") for name in api.kept())


def test_warnings_about_driven_audio_appear_at_once_and_stay(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    cut = audio_bytes(seconds=2.0)[: 44 + 32_000]
    for sound, told in ((cut, "1.00 s were used, 1.00 s"), (audio_bytes() + audio_bytes(1), "2 recordings")):
        for _ in range(2):  # the second time the driven audio is known
            answer = api.generate(client, image_id, sound)
            assert told in " ".join(answer.json()["warnings"])
            status = client.get(answer.json()["links"]["status"]).json()
            assert told in " ".join(status["warnings"])


def test_audio_track_is_chosen_by_its_number(api: RunningApi, client: httpx.Client, tmp_path: Path) -> None:
    image_id = api.upload(client)["image_id"]
    one, other = (np.frombuffer(audio_bytes(seed)[44:], "<i2")[:, None] / 32768 for seed in (0, 1))
    sound = encode(tmp_path / "a.mkv", ("mono", one), ("mono", other)).read_bytes()
    answers = [api.generate(client, image_id, sound, audio_track=track) for track in ("", "1", "2")]
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert "2 audio tracks. Track 1 was used" in answers[0].json()["warnings"][0]
    assert answers[2].json()["warnings"] == []
    assert answers[2].json()["settings"]["audio_track"] == 2
    assert len(api.tickets.generated) == 3  # three videos
    sessions = [api.services.sessions.get(session_id) for session_id in api.tickets.generated]
    assert [session.spec.options.audio_track for session in sessions if session] == [None, 1, 2]
    for track in ("3", "0", "first"):
        refused = api.generate(client, image_id, sound, audio_track=track)
        assert refused.status_code == 422, refused.text
        assert refused.json()["error"]["param"] == "audio_track"


def test_ignored_fields_are_reported(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    answer = api.generate(client, image_id, enhancer="gfpgan", colour="blue", voice="anna")
    warnings = " ".join(answer.json()["warnings"])
    assert "enhancer gfpgan was not applied" in warnings
    assert "colour is unknown" in warnings
    assert "voice has no effect" in warnings
    status = client.get(answer.json()["links"]["status"]).json()
    assert "colour is unknown" in " ".join(status["warnings"])


def test_full_lane_says_when_to_try_again(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    for seed in range(3):
        assert api.generate(client, image_id, audio_bytes(seed)).status_code == 202
    answer = api.generate(client, image_id, audio_bytes(9))
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "lane_full"
    assert answer.json()["error"]["retryable"] is True
    assert int(answer.headers["retry-after"]) >= 1
    assert f"speech/{sha256(audio_bytes(9))}" not in api.kept()
    assert api.generate(client, image_id, audio_bytes(9), lane="standard").status_code == 202


def test_lane_is_part_of_the_address_of_a_session(api: RunningApi, client: httpx.Client) -> None:
    session_id = api.accepted(client, lane="standard")
    assert client.get(f"/api/standard/status/{session_id}").status_code == 200
    assert client.get(f"/api/vip/status/{session_id}").status_code == 404
    assert client.get(f"/api/gold/status/{session_id}").status_code == 404


def test_failed_video_has_its_error(api: RunningApi, client: httpx.Client) -> None:
    session_id = api.accepted(client)
    api.fail(api.begin(session_id))
    status = client.get(f"/api/vip/status/{session_id}").json()
    assert status["status"] == "failed"
    assert status["error"]["code"] == "time_limit_exceeded"
    assert status["error"]["retryable"] is True
    download = client.get(f"/api/vip/download/{session_id}")
    assert (download.status_code, download.json()["status"]) == (409, "failed")


def test_waiting_session_is_cancelled_once(api: RunningApi, client: httpx.Client) -> None:
    session_id = api.accepted(client)
    answer = client.delete(f"/api/vip/session/{session_id}")
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    assert client.get(f"/api/vip/status/{session_id}").json()["status"] == "cancelled"
    again = client.delete(f"/api/vip/session/{session_id}")
    assert (again.status_code, again.json()["status"]) == (409, "cancelled")
    assert again.json()["error"]["code"] == "already_ended"


def test_running_session_is_stopped(api: RunningApi, client: httpx.Client) -> None:
    session_id = api.accepted(client)
    api.begin(session_id)
    answer = client.delete(f"/api/vip/session/{session_id}")
    assert (answer.status_code, answer.json()["status"]) == (202, "generating")
    assert api.services.sessions.is_cancelled(session_id)


def test_deleted_avatar_leaves_nothing(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    session_id = api.generate(client, image_id).json()["session_id"]
    session = api.begin(session_id)
    assert api.services.avatars.link_video(image_id, session.result_key)
    api.finish(session)
    assert client.delete(f"/api/avatar/{image_id}").status_code == 204
    assert {name for name in api.kept() if not name.startswith("speech/")} == set()
    assert client.get(f"/api/avatar/status/{image_id}").status_code == 404
    assert client.get(f"/api/vip/download/{session_id}").status_code in {404, 409}
    assert client.delete(f"/api/avatar/{image_id}").status_code == 404


def test_session_ids_of_others_are_shown_in_part_only(api: RunningApi, client: httpx.Client) -> None:
    running, waiting = api.accepted(client, audio_bytes(1)), api.accepted(client, audio_bytes(2))
    api.begin(running)
    status = f"/api/vip/status/{waiting}"
    until(
        lambda: running[:8] in client.get(status).text, "the running session"
    )  # numbers are cached for a moment
    texts = [client.get(path).text for path in (status, "/", "/api/cache/stats", "/metrics")]
    assert running[:8] in texts[0]
    assert all(running not in text for text in texts)


def test_decoded_audio_is_passed_to_the_worker(api: RunningApi, client: httpx.Client, tmp_path: Path) -> None:
    sound = audio_bytes(seed=77)  # the API does not decode known audio again
    assert api.generate(client, api.upload(client)["image_id"], sound).status_code == 202
    (tmp_path / "a.wav").write_bytes(sound)
    decoded = decode_speech(tmp_path / "a.wav", max_bytes=10**7, max_seconds=60)
    handed = find_decoded(api.services.cache, sha256(sound), tmp_path / "a.wav", decoded.reading)
    assert handed is not None
    assert handed.duration == decoded.duration
    np.testing.assert_array_equal(handed.samples, decoded.samples)
