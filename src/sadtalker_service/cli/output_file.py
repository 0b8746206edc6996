"""Files that commands name: the video to write, the transcript to read."""

from __future__ import annotations

import time
from pathlib import Path

from sadtalker_service.errors import InvalidOption
from sadtalker_service.files import output_errors


def output_file(
    output: Path | None, result_dir: Path, driven_audio: Path | None, container: str = "mp4"
) -> Path:
    """`--output`, or a file named after the time in `--result_dir`, as in SadTalker. Creates that folder.
    It ends in `container`.

    Raises `InvalidOption`, `OutputError`.
    """
    if output:
        if output.suffix.lower() != f".{container}":
            others = "The format of a video follows from --background and --format."
            raise InvalidOption(f"{output} must end in .{container}. {others}", param="output")
        if driven_audio and output.resolve() == driven_audio.resolve():
            raise InvalidOption(f"{output} is the driven audio itself. Choose another file.", param="output")
        return output
    path = result_dir / time.strftime(f"%Y_%m_%d_%H.%M.%S.{container}")
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


def read_transcript(path: Path | None) -> str:
    """The text of a file; empty without one. Raises `InvalidOption`."""
    try:
        return path.read_text() if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOption(f"Cannot read {path} as text.", param="transcript") from error
