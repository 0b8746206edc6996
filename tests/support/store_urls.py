"""Addresses of stores, read and shown."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit


def without_password(url: str) -> str:
    """The address as it may be shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def socket_path(url: str) -> Path:
    """The socket of a `unix://` address."""
    return Path(unquote(urlsplit(url).path))
