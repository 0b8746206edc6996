"""A video of a text, measured as a viewer would: the lips follow the voice's own times."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from sadtalker_service.domain import Motion, SpokenText
from sadtalker_service.engines.mesh import MeshEngine
from sadtalker_service.engines.mesh.faceframe import fit_face_frame
from sadtalker_service.faces.landmarker import FaceLandmarker
from sadtalker_service.media.image import decode_image
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.cached import CachedComputation
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.pipeline.spoken import speak_text
from sadtalker_service.speech.articulation import Articulation, joined
from sadtalker_service.store.cache import MemoryCache

PORTRAIT = Path(__file__).parents[3] / "examples" / "portrait.jpg"
INNER_UPPER, INNER_LOWER = [81, 82, 13, 312, 311], [178, 87, 14, 317, 402]
STYLE = RenderOptions(preprocess="crop", size=512, quality="medium", seed=0)
TEXTS = {
    "af_heart": "My brother Bob made a big map of the old bay.",
    "bm_george": "Please remember the blue umbrella on the table.",
    "ef_dora": "Mi papá compra pan y una bomba de vapor.",
}


@pytest.mark.parametrize(
    "voice", ["af_heart", *(pytest.param(v, marks=pytest.mark.slow) for v in ("bm_george", "ef_dora"))]
)
def test_lips_follow_the_voice(voice: str, tmp_path: Path) -> None:
    engine, cache = MeshEngine(), MemoryCache(10**9)
    picture = decode_image(PORTRAIT.read_bytes(), max_bytes=10**8, max_pixels=10**8)
    speech = speak_text(SpokenText(TEXTS[voice], voice), tmp_path / "a.wav", CachedComputation(cache))
    pipeline = Pipeline(engine, cache)
    prepared = pipeline.prepare(picture, STYLE)
    pipeline.render(prepared, speech, STYLE, tmp_path / "a.mp4")
    features = list(engine.extract_speech_features(speech.pieces(), speech.timeline))
    motion = Motion.joined(engine.drive(prepared.avatar, iter(features), STYLE, None))
    intended = motion.coefficients["opening"]
    opening = _opening(tmp_path / "a.mp4")
    assert len(opening) == len(intended)
    assert np.corrcoef(opening, intended)[0, 1] >= 0.95
    shut = [(a, b) for kind, a, b in joined(map(Articulation.from_artefact, features)).closures if kind == 0]
    assert len(shut) >= 5
    least = [opening[max(0, int(a * 25 - 0.5)) : int(b * 25 + 0.5) + 1].min() for a, b in shut]
    assert np.mean(np.array(least) < 1.5) >= 0.85


def _opening(path: Path) -> np.ndarray:
    """Opening of the lips of every frame, mm."""
    landmarker, opening = FaceLandmarker(), []
    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            landmarks = landmarker.detect(frame.to_ndarray(format="rgb24")).landmarks
            p = fit_face_frame(landmarks).to_local(landmarks)
            opening.append(np.linalg.norm((p[INNER_UPPER] - p[INNER_LOWER])[:, :2], axis=1).mean())
    return np.array(opening)
