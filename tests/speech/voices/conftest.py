"""One loaded voice per test process."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from sadtalker_service.domain import SpokenText, SpokenTimeline
from sadtalker_service.speech.voices.speaker import read_text, recite

Said = tuple[NDArray[np.float32], SpokenTimeline]


@pytest.fixture(scope="session")
def say() -> Callable[[str, str], Said]:
    """Speaks a text with a voice; the same again costs nothing."""
    known: dict[tuple[str, str], Said] = {}

    def speak(text: str, voice: str = "af_heart") -> Said:
        if (text, voice) not in known:
            known[text, voice] = recite(read_text(SpokenText(text, voice)))
        return known[text, voice]

    return speak
