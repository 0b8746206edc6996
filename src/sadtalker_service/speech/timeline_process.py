"""Child process of `pipeline.timelines`: decodes driven audio, recognises it, and answers its timeline."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sadtalker_service.media.audio import decode_speech
from sadtalker_service.media.child_process import answer_questions
from sadtalker_service.speech.articulation import Articulation, joined
from sadtalker_service.speech.listening import recognize_speech
from sadtalker_service.speech.timeline import timeline
from sadtalker_service.store.codec import decode, encode

_UNUSED_HASH = "-"


def main() -> None:
    """Answer until there are no more questions."""
    limits = json.loads(sys.argv[1])
    answer_questions(lambda question: _answer(question, limits), limits["timeout"])


def _answer(question: Mapping[str, Any], limits: Mapping[str, Any]) -> dict[str, Any]:
    """Duration, cues and blinks. The windows of the speech features are files in the folder `features`."""
    speech = decode_speech(
        Path(question["path"]),
        max_bytes=limits["max_bytes"],
        max_seconds=limits["max_seconds"],
        audio_track=question["audio_track"],
        audio_hash=_UNUSED_HASH,
    )
    features = Path(question["features"])
    if features.exists():
        files = sorted(features.iterdir())
        articulation = joined([Articulation.from_artefact(decode(file.read_bytes())) for file in files])
    else:
        articulation = recognize_speech(speech)
        features.mkdir()
        (features / "000000").write_bytes(encode(articulation.to_artefact()))
    return asdict(timeline(articulation, speech.duration, question["seed"]))


if __name__ == "__main__":
    main()
