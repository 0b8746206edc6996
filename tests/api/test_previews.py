"""Previews of an avatar from the cache."""

from __future__ import annotations

import io
from dataclasses import replace

import httpx
import numpy as np
from PIL import Image
from tests.support.jobs import CARD
from tests.support.running_api import RunningApi

from sadtalker_service.domain import Artefact
from sadtalker_service.engines.port import MouthShapes
from sadtalker_service.pipeline.preview_assets import CLIPS, PICTURE, VISEMES, exhibit_key

CLIP = b"\0\0\0\x18ftypmp42 a clip"


def store_previews(api: RunningApi, image_id: str) -> None:
    """Store what a worker puts into the cache."""
    pictures = np.stack([np.full((8, 8, 3), 30 * number, np.uint8) for number in range(7)])
    shapes = MouthShapes(pictures, tuple(f"v{number}" for number in range(7)), {"A": "v0", "B": "v6"})
    png = io.BytesIO()
    Image.new("RGB", (20, 10), "red").save(png, "PNG")
    for kind, artefact in (
        (VISEMES, shapes.to_artefact()),
        (CLIPS, Artefact({"smile": np.frombuffer(CLIP, np.uint8)})),
        (PICTURE, Artefact({PICTURE: np.frombuffer(png.getvalue(), np.uint8)})),
    ):
        api.services.cache.put(exhibit_key(kind, CARD, image_id), artefact, 60)


def test_mouth_shapes_are_at_the_reported_positions(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    store_previews(api, image_id)
    body = client.get(f"/api/avatar/{image_id}/visemes").json()
    assert (body["cell"], body["letters"]) == (8, {"A": "v0", "B": "v6"})
    sprite = client.get(body["sprite_url"])
    assert sprite.headers["content-type"] == "image/png"
    pixels = np.asarray(Image.open(io.BytesIO(sprite.content)))
    assert pixels.shape[:2] == (body["height"], body["width"])
    corner = body["visemes"]["v6"]
    assert pixels[corner["y"] + 4, corner["x"] + 4].tolist() == [180, 180, 180]


def test_engine_without_mouth_shapes_says_so_permanently(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    api.services.engines.publish(replace(CARD, name="neural", stages=CARD.stages[:2]), default=True)
    answer = client.get(f"/api/avatar/{image_id}/visemes")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert api.tickets.prepared == [(image_id, "full")]  # only the upload


def test_gesture_is_a_clip(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    store_previews(api, image_id)
    answer = client.get(f"/api/avatar/{image_id}/gestures/smile")
    assert (answer.content, answer.headers["content-type"]) == (CLIP, "video/mp4")
    unknown = client.get(f"/api/avatar/{image_id}/gestures/dance")
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (404, "name")


def test_preview_is_an_image(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    store_previews(api, image_id)
    answer = client.get(f"/api/avatar/{image_id}/preview")
    assert Image.open(io.BytesIO(answer.content)).size == (20, 10)


def test_lost_previews_are_made_again(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    early = client.get(f"/api/avatar/{image_id}/preview")
    assert (early.status_code, early.json()["status"]) == (409, "processing")
    api.prepare(image_id)
    api.tickets.prepared.clear()
    lost = client.get(f"/api/avatar/{image_id}/preview")
    assert (lost.status_code, lost.json()["error"]["code"]) == (409, "not_ready")
    assert lost.json()["status"] == "ready"
    assert int(lost.headers["retry-after"]) >= 1
    assert api.tickets.prepared == [(image_id, "full")]


def test_previews_are_revalidated_and_gone_after_a_deletion(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    store_previews(api, image_id)
    path = f"/api/avatar/{image_id}/preview"
    first = client.get(path)
    assert first.status_code == 200
    assert first.headers["cache-control"] == "private, no-cache"
    asked = {"If-None-Match": first.headers["etag"]}
    again = client.get(path, headers=asked)
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.delete(f"/api/avatar/{image_id}").status_code == 204
    assert client.get(path, headers=asked).status_code == 404
