"""What goes away when an eye closes, what stays, and the skin that takes its place."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sadtalker_service.engines.mesh.lid_fill import brightness, clearness, fill, leaves

DENSITY = 3.0
SKIN = np.array([210.0, 170.0, 140.0])
Mask = NDArray[np.bool_]

y, x = np.mgrid[:96, :132]
EYE: Mask = ((x - 66) / 45.0) ** 2 + ((y - 48) / 15.0) ** 2 < 1.0
REACH: Mask = (y > 20) & (y < 70) & (x > 8) & (x < 124)
NEAR: Mask = (y > 32) & (y < 66) & (x > 12) & (x < 120)


@pytest.fixture
def photo() -> NDArray[np.float64]:
    """Skin that is darker to the left, an eye, a lash over it, and a frame above."""
    out = np.ones((96, 132, 1)) * SKIN * (0.7 + 0.3 * x / 131)[..., None]
    out[EYE] = 40.0
    out[24:40, 60:62] = 30.0
    out[:16] = 20.0
    return out


def test_the_lash_goes_and_the_frame_stays(photo: NDArray[np.float64]) -> None:
    gone, stays = leaves(brightness(photo, EYE, DENSITY), EYE, REACH, NEAR, DENSITY)
    assert gone[EYE].all()
    assert gone[26:34, 60:62].all()
    assert not gone[:20].any()
    assert stays[:14].all()
    assert not stays[EYE].any()


def test_skin_goes_on_through_the_hole(photo: NDArray[np.float64]) -> None:
    bright = brightness(photo, EYE, DENSITY)
    gone, _stays = leaves(bright, EYE, REACH, NEAR, DENSITY)
    skin = fill(photo, clearness(bright, DENSITY) * ~gone, DENSITY)
    wanted = SKIN * (0.7 + 0.3 * x / 131)[..., None]
    assert np.abs(skin - wanted)[24:90].max() < 12.0


def test_shade_is_skin_and_lines_are_not(photo: NDArray[np.float64]) -> None:
    photo[80:92, 20:60] *= 0.92  # a shadow
    photo[80:92, 90:92] *= 0.4  # a line
    clear = clearness(brightness(photo, EYE, DENSITY), DENSITY)
    assert clear[82:90, 24:56].min() > 0.5
    assert clear[80:92, 89:93].max() == 0.0
