"""A downloaded video says that it is synthetic, and the same request gets the same bytes."""

from __future__ import annotations

from typing import Any

import av
import httpx
import pytest
from tests.service.test_spoken_videos import FIELDS, a_second_of_speech
from tests.support import bad_media as bad
from tests.support.manifests import manifest_of, origin_of
from tests.support.running_service import RunningService, until

from sadtalker_service.media.marking.credentials import FILE


@pytest.fixture(scope="module")
def client(service: RunningService) -> httpx.Client:
    return httpx.Client(base_url=service.url, timeout=60)


def asked(client: httpx.Client) -> httpx.Response:
    upload = client.post("/api/avatar/upload", files={"image_file": ("me.jpg", bad.SOURCE_IMAGE)})
    form = {"image_id": upload.raise_for_status().json()["image_id"], **FIELDS, "seed": "77"}
    sound = {"audio_file": ("a.wav", a_second_of_speech())}
    return client.post("/api/vip/generate", data=form, files=sound).raise_for_status()


def ready(client: httpx.Client, answer: dict[str, Any]) -> dict[str, Any]:
    status = answer["links"]["status"]
    until(lambda: client.get(status).json()["status"] in {"ready", "failed"}, "the video", 120)
    return dict(client.get(status).json())


def test_a_downloaded_video_is_verified_also_in_parts_and_from_the_cache(
    service: RunningService, client: httpx.Client, tmp_path: Any
) -> None:
    first = asked(client).json()
    done = ready(client, first)
    assert done["status"] == "ready", done
    whole = client.get(done["download_url"])
    store = manifest_of(whole.content)
    assert store["validation_state"] == "Valid"
    assert origin_of(store) == "compositeWithTrainedAlgorithmicMedia"

    begun = client.get(done["download_url"], headers={"Range": "bytes=0-9999"})
    rest = {"Range": "bytes=10000-", "If-Range": begun.headers["etag"]}
    resumed = client.get(done["download_url"], headers=rest)
    assert (begun.status_code, resumed.status_code) == (206, 206)
    assert begun.content + resumed.content == whole.content

    again = asked(client)
    assert (again.status_code, again.json()["status"]) == (200, "ready")
    same = client.get(again.json()["download_url"])
    assert same.content == whole.content
    assert same.headers["etag"] == whole.headers["etag"]

    stream = client.get(first["links"]["stream"]).content
    (tmp_path / "stream.mp4").write_bytes(stream)
    with av.open(str(tmp_path / "stream.mp4")) as container:
        assert container.metadata["comment"].startswith("Synthetic media")
    assert service.log.count('"marking_key_made"') == 1
    assert (service.data_dir / FILE).stat().st_mode & 0o777 == 0o600
