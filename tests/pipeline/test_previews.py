"""An avatar's previews are made once and read without the engine."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sadtalker_service.domain import SourceImage
from sadtalker_service.engines.mesh import MeshEngine
from sadtalker_service.engines.port import card_of
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.pipeline.preview_assets import gesture_clip, preview_picture, viseme_sheet
from sadtalker_service.pipeline.previews import make_previews
from sadtalker_service.pipeline.sources import read_source_image
from sadtalker_service.settings import Settings
from sadtalker_service.store.cache import ArtefactCache, MemoryCache
from sadtalker_service.store.directory import DirectoryCache
from sadtalker_service.store.keys import avatar_keys

SOURCE_IMAGE = Path(__file__).parents[2] / "examples" / "portrait.jpg"
LETTERS = set("AEIOUMBPFVSTLR")


def pixels(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png), formats=["PNG"]))


def frames(mp4: bytes) -> NDArray[np.float64]:
    """(F, H, W) luma."""
    with av.open(io.BytesIO(mp4)) as container:
        return np.stack([f.to_ndarray(format="gray").astype(float) for f in container.decode(video=0)])


def test_mouth_shapes_are_cells_of_one_image(engine, source_image: SourceImage) -> None:
    cache = MemoryCache(10**8)
    make_previews(Pipeline(engine, cache), source_image, "full")
    sheet = viseme_sheet(cache, card_of(engine), source_image.image_hash)
    assert sheet is not None
    picture = pixels(sheet.png)
    assert (sheet.cells["width"], sheet.cells["height"]) == (40, 16) == picture.shape[1::-1]
    for number, place in enumerate(sheet.cells["visemes"].values()):
        cell = picture[place["y"] : place["y"] + 8, place["x"] : place["x"] + 8]
        assert (cell == 30 * number).all()
    assert sheet.cells["letters"] == {"A": "v0", "B": "v6"}


def test_previews_are_rendered_at_a_size_that_the_engine_supports(sketch, source_image: SourceImage) -> None:
    cache = MemoryCache(10**8)
    make_previews(Pipeline(sketch, cache), source_image, "full")
    png = preview_picture(cache, sketch, source_image.image_hash)
    assert png is not None
    assert Image.open(io.BytesIO(png)).size == source_image.size


def test_previews_are_made_once(engine, source_image: SourceImage, tmp_path: Path) -> None:
    first = make_previews(Pipeline(engine, DirectoryCache(tmp_path, 10**8)), source_image, "full")
    again = make_previews(Pipeline(engine, DirectoryCache(tmp_path, 10**8)), source_image, "full")
    assert (first.misses, first.hits) == (["preview", "gesture_clips"], [])
    assert (again.misses, again.hits) == ([], ["preview", "gesture_clips"])
    assert engine.calls["visemes"] == 1


def test_missing_previews_are_none(engine, source_image: SourceImage) -> None:
    cache, card = MemoryCache(10**8), card_of(engine)
    assert viseme_sheet(cache, card, source_image.image_hash) is None
    assert gesture_clip(cache, card, source_image.image_hash, "smile") is None
    assert preview_picture(cache, card, source_image.image_hash) is None
    make_previews(Pipeline(engine, cache), source_image, "full")
    assert gesture_clip(cache, card, source_image.image_hash, "jump") is None
    assert gesture_clip(cache, card, source_image.image_hash, "smile") is not None


def test_preview_keys_match_those_of_the_cached_artefacts(engine, source_image: SourceImage) -> None:
    cache = MemoryCache(10**8)
    make_previews(Pipeline(engine, cache), source_image, "crop")
    card = card_of(engine)
    keys = avatar_keys(card.stages, source_image.image_hash, "crop", card.name, card.version)
    assert list(keys) == ["face_detection", "face_mesh", "visemes"]
    assert all(cache.get(key) is not None for key in keys.values())


@pytest.fixture(scope="module")
def shown() -> tuple[ArtefactCache, MeshEngine, str]:
    """Previews of the example source image by the mesh engine."""
    cache, engine = MemoryCache(10**8), MeshEngine()
    source_image = read_source_image(SOURCE_IMAGE, Settings())
    make_previews(Pipeline(engine, cache), source_image, "full")
    return cache, engine, source_image.image_hash


def test_every_letter_has_a_mouth_shape(shown: tuple[ArtefactCache, MeshEngine, str]) -> None:
    sheet = viseme_sheet(*shown)
    assert sheet is not None
    letters, places, side = sheet.cells["letters"], sheet.cells["visemes"], sheet.cells["cell"]
    assert set(letters) >= LETTERS
    picture = pixels(sheet.png).astype(int)

    def mouth(letter: str) -> NDArray[np.int_]:
        at = places[letters[letter]]
        return picture[at["y"] : at["y"] + side, at["x"] : at["x"] + side]

    assert np.abs(mouth("A") - mouth("M")).max() > 40, "open and shut"
    assert letters["M"] == letters["B"] == letters["P"]


def test_every_gesture_moves_and_returns(shown: tuple[ArtefactCache, MeshEngine, str]) -> None:
    cache, engine, image_id = shown
    for name in engine.capabilities.gestures:
        clip = gesture_clip(cache, engine, image_id, name)
        assert clip is not None
        played = frames(clip)
        assert played.shape == (60, 256, 256)
        moved = np.abs(played - played[0]).mean(axis=(1, 2))
        assert moved.max() > 2 * moved[-3:].mean(), name


def test_the_preview_is_the_close_up(shown: tuple[ArtefactCache, MeshEngine, str]) -> None:
    png = preview_picture(*shown)
    assert png is not None
    picture = pixels(png)
    assert picture.shape == (480, 480, 3)
    assert picture.std() > 20
