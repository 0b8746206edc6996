"""Child process that makes the finished file of a recording: joins its parts and marks it as synthetic.

In a process of its own, because both would take time from the frames of running sessions. It prints the facts
of the file as JSON, or the error.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, cast

from sadtalker_service.domain import SourceType
from sadtalker_service.errors import SadTalkerError
from sadtalker_service.files import whole_file
from sadtalker_service.media.joining import join
from sadtalker_service.pipeline.marking import marker_of
from sadtalker_service.settings import Settings
from sadtalker_service.telemetry.logs import configure_logging

FINISHED, FACTS = "whole.mp4", "whole.json"
"""The finished file, and what is printed. Both stay until the video is published."""
_POLITE = 10
"""Added to the niceness: a late frame of a running session is worse than a late file."""


def main() -> None:
    """The arguments are the folder, the frames per second, and the source type."""
    os.nice(_POLITE)
    settings = Settings()
    configure_logging(settings, "worker", sys.stderr)
    folder, fps, source_type = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    try:
        facts = _finished(folder, fps, cast("SourceType", source_type), settings)
    except SadTalkerError as error:
        facts = {"error": error.code, "message": error.public_message, "retryable": error.retryable}
    else:
        with whole_file(folder / FACTS) as unfinished:
            unfinished.write_text(json.dumps(facts))
    sys.stdout.write(json.dumps(facts))


def _finished(folder: Path, fps: int, source_type: SourceType, settings: Settings) -> dict[str, Any]:
    marker, output = marker_of(settings), folder / FINISHED
    parts = sorted(path for path in folder.glob("*.mp4") if path.stem.isdigit())
    joined = join(parts, output, fps, marker.tags(source_type) if marker else {})
    if marker:
        marker.sign(output, source_type)
    return {
        "width": joined.width,
        "height": joined.height,
        "frames": joined.frames,
        "seconds": joined.seconds,
        "size_bytes": output.stat().st_size,
    }


if __name__ == "__main__":
    main()
