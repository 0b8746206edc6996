"""Cutting a person out: against a picture whose opacity is known, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sadtalker_service.errors import PersonNotSeparable
from sadtalker_service.faces.landmarker import FaceLandmarker
from sadtalker_service.faces.matte import Matte, cut_out
from sadtalker_service.faces.networks import Network, load_person_mask
from sadtalker_service.faces.topology import OVAL

GREEN = np.array([20.0, 160.0, 90.0])


@dataclass(frozen=True)
class Portrait:
    """The example, made small, and its person."""

    pixels: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    network: Network
    matte: Matte


def over(matte: Matte, colour: NDArray[np.float64]) -> NDArray[np.uint8]:
    alpha = matte.alpha[..., None] / 255.0
    return np.rint(matte.foreground * alpha + colour * (1 - alpha)).astype(np.uint8)


@pytest.fixture(scope="module")
def portrait(source_image: NDArray[np.uint8], landmarker: FaceLandmarker) -> Portrait:
    small = np.asarray(Image.fromarray(source_image).resize((320, 320), Image.Resampling.LANCZOS))
    landmarks, network = landmarker.detect(small).landmarks, load_person_mask()
    return Portrait(small, landmarks, network, cut_out(network, small, landmarks))


def inside_face(portrait: Portrait) -> NDArray[np.bool_]:
    image = Image.new("1", (320, 320))
    ImageDraw.Draw(image).polygon([(x, y) for x, y, _ in portrait.landmarks[list(OVAL)].tolist()], fill=1)
    return np.asarray(image)


def test_the_face_is_opaque_and_the_background_is_gone(portrait: Portrait) -> None:
    alpha = portrait.matte.alpha
    assert alpha[inside_face(portrait)].min() == 255
    assert alpha[:40, :40].max() == alpha[:40, -60:].max() == 0, "flag and rocket"
    assert 0.4 < (alpha > 127).mean() < 0.65
    assert ((alpha > 0) & (alpha < 255)).any(), "hair is partly transparent"


def test_colours_of_opaque_pixels_are_those_of_the_picture(portrait: Portrait) -> None:
    opaque = portrait.matte.alpha == 255
    differs = np.abs(portrait.matte.foreground[opaque].astype(int) - portrait.pixels[opaque]).max()
    assert differs <= 1


def test_a_known_opacity_is_found_again(portrait: Portrait) -> None:
    """The cut-out person over a plain colour, cut out once more."""
    again = cut_out(portrait.network, over(portrait.matte, GREEN), portrait.landmarks)
    truth = portrait.matte.alpha / 255.0
    assert np.abs(again.alpha / 255.0 - truth).mean() < 0.02
    blue = np.array([30.0, 60.0, 220.0])
    ideal, seen = over(portrait.matte, blue).astype(float), over(again, blue).astype(float)
    edge = (truth > 0.02) & (truth < 0.98)
    assert np.abs(seen - ideal)[edge].mean() < 25, "little of the green shines through at the edge"


def test_large_pictures_keep_their_size(portrait: Portrait) -> None:
    large = np.asarray(Image.fromarray(portrait.pixels).resize((960, 960), Image.Resampling.BICUBIC))
    matte = cut_out(portrait.network, large, portrait.landmarks * 3)
    assert matte.alpha.shape == (960, 960)
    assert matte.foreground.shape == (960, 960, 3)
    small = np.asarray(Image.fromarray(matte.alpha).resize((320, 320), Image.Resampling.BOX))
    assert np.abs(small.astype(int) - portrait.matte.alpha).mean() < 6


def test_what_cannot_be_told_apart_is_refused(portrait: Portrait) -> None:
    face = inside_face(portrait)
    noise = np.random.default_rng(1).integers(0, 255, portrait.pixels.shape, dtype=np.uint8)
    hidden = np.where(face[..., None], portrait.pixels, noise)
    with pytest.raises(PersonNotSeparable, match="cannot be separated from the background"):
        cut_out(portrait.network, hidden, portrait.landmarks)


def test_a_person_without_surroundings_is_refused(portrait: Portrait) -> None:
    low, high = portrait.landmarks[:, :2].min(axis=0) + 4, portrait.landmarks[:, :2].max(axis=0) - 4
    (x0, y0), (x1, y1) = low.astype(int), high.astype(int)
    closeup = np.ascontiguousarray(portrait.pixels[y0:y1, x0:x1])
    with pytest.raises(PersonNotSeparable, match="fills the whole source image"):
        cut_out(portrait.network, closeup, portrait.landmarks - np.array([x0, y0, 0], np.float32))
