"""The fastest passes are chosen, among those that draw the right picture."""

from __future__ import annotations

import time
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from sadtalker_service.engines.sadtalker.renderer.gpu.choosing import (  # noqa: E402
    PLAIN,
    candidates,
    choose_steps,
)
from sadtalker_service.engines.sadtalker.renderer.gpu.plain import PlainSteps  # noqa: E402


class Grey:
    """Passes that give a shade, after some time, or fail."""

    def __init__(self, shade: float, seconds: float = 0.0, error: Exception | None = None) -> None:
        self.shade, self.seconds, self.error = shade, seconds, error


class Frames:
    """Draws what its passes say, with the interface of the form for a GPU."""

    steps: Any = None

    def pictures(self, sources: Any, driving: Any) -> Any:
        if self.steps.error:
            raise self.steps.error
        time.sleep(self.steps.seconds)
        return torch.full((len(driving), 3, 2, 2), self.steps.shade)

    pixels = pictures


def chosen(**forms: Grey) -> tuple[Any, Any]:
    frames: Any = Frames()
    found = choose_steps(
        frames, Any, torch.zeros(1, 15, 3), {name: lambda form=form: form for name, form in forms.items()}
    )
    assert frames.steps is forms[found.name]
    return found.name, found.unusable


def test_the_fastest_is_chosen() -> None:
    assert chosen(plain=Grey(0.5, 0.05), fused=Grey(0.5)) == ("fused", {})
    assert chosen(plain=Grey(0.5), fused=Grey(0.5, 0.05)) == ("plain", {})


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (Grey(0.5, error=RuntimeError("no such instruction")), "RuntimeError: no such instruction"),
        (Grey(0.6), "its pictures differ by 0.1"),
        (Grey(float("nan")), "its pictures differ by nan"),
    ],
)
def test_what_fails_or_draws_something_else_is_left_out(other: Grey, reason: str) -> None:
    assert chosen(plain=Grey(0.5, 0.05), fused=other) == ("plain", {"fused": reason})


def test_a_failure_of_the_plain_form_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no memory"):
        chosen(plain=Grey(0.5, error=RuntimeError("no memory")), fused=Grey(0.5))


def test_without_a_gpu_only_the_plain_form_is_tried() -> None:
    ((name, form),) = candidates(torch.device("cpu")).items()
    assert name == PLAIN
    assert isinstance(form(), PlainSteps)
