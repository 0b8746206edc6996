"""Formats durations, ratios, sizes and times for clients."""

from __future__ import annotations

from datetime import UTC, datetime

from sadtalker_service.api.schemas.avatars import NOT_MEASURED


def iso_time(seconds: float | None) -> str | None:
    """Seconds since 1970 as ISO 8601 in UTC, to the millisecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def known_time(seconds: float) -> str:
    """Like `iso_time`, for a time that is never None."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def stopwatch(seconds: float) -> str:
    """`4.200s`."""
    return f"{seconds:.3f}s"


def about(seconds: float | None) -> str:
    """`about 4.2 seconds`, with two significant digits."""
    if seconds is None:
        return NOT_MEASURED
    digits = 0 if seconds >= 10 else 1 if seconds >= 1 else 2
    return f"about {seconds:.{digits}f} seconds"


def times_faster(ratio: float | None) -> str:
    """`4.8x faster`."""
    if ratio is None:
        return NOT_MEASURED
    return f"{ratio:.1f}x faster" if ratio < 100 else f"{ratio:.0f}x faster"


def per_cent(share: float | None) -> float | None:
    """A share of 0..1 as 0..100, rounded to one decimal."""
    return None if share is None else round(100.0 * share, 1)


def megabytes(size: int) -> str:
    """`1.85 MB`."""
    return f"{size / 1e6:.2f} MB"


def rounded(seconds: float | None) -> float | None:
    """Rounded to the millisecond."""
    return None if seconds is None else round(seconds, 3)
