"""The movements that the studio previews are those of the engine."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np

from sadtalker_service.engines.mesh.motion.head import LIMITS, POSE_STYLES

REPOSITORY = Path(__file__).resolve().parents[3]


def tool() -> ModuleType:
    """`tools/make_pose_previews.py`."""
    path = REPOSITORY / "tools" / "make_pose_previews.py"
    spec = importlib.util.spec_from_file_location("make_pose_previews", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_file_of_the_studio_is_what_the_engine_does() -> None:
    made = tool()
    kept = json.loads(made.FILE.read_text())
    assert kept == made.previews(), "run tools/make_pose_previews.py"
    angles = np.array(kept["angles"])
    assert angles.shape == (POSE_STYLES, round(made.SECONDS * kept["rate"]), 3)
    assert (np.abs(angles) <= np.degrees(LIMITS) + 0.05).all()
    assert (np.ptp(angles, axis=1) > 0.5).all()  # all move, about every axis
    assert len(np.unique(angles.reshape(POSE_STYLES, -1), axis=0)) == POSE_STYLES
