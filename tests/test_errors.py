"""What an error says to whom."""

from __future__ import annotations

import pytest

from sadtalker_service.errors import EngineUnavailable, Forbidden, OutputError, without_folders
from sadtalker_service.state.failures import failure_of


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "The checkpoint /srv/data/checkpoints/a_256.bin is missing.",
            "The checkpoint a_256.bin is missing.",
        ),
        ("/home/me/.local/share/sadtalker/checkpoints lacks x.", "checkpoints lacks x."),
        ("No space (/data/run/uploads).", "No space (uploads)."),
        ("Cannot read '/data/a': denied", "Cannot read 'a': denied"),
        ("~/.cache/huggingface/hub is full", "hub is full"),
        (
            "Get it from https://huggingface.co/x/y and a/b.",
            "Get it from https://huggingface.co/x/y and a/b.",
        ),
        ("3.5 GB/s, 1/2", "3.5 GB/s, 1/2"),
    ],
)
def test_folders_are_left_out(text: str, shown: str) -> None:
    assert without_folders(text) == shown


def test_paths_are_for_those_who_run_the_service() -> None:
    for kind in (EngineUnavailable, OutputError):
        error = kind("The file /srv/secret/a.bin is missing.")
        assert "/srv/secret" in error.message
        assert "/srv" not in error.public_message
        assert failure_of(error).message == error.public_message
    assert Forbidden("Use /api/standard.").public_message == "Use /api/standard."
