"""Ownership of avatars and sessions, and the view of a client.

Every avatar and every session belongs to an owner, a name from the settings of the API keys. An avatar
belongs to several owners if they uploaded the same source image. Each sees it as their own, and its artefacts
are shared.
"""

from __future__ import annotations

from dataclasses import dataclass

LOCAL_OWNER = "local"
"""Owner of everything if no keys are configured."""


@dataclass(frozen=True)
class Viewer:
    """A client as the stores see it."""

    owner: str
    sees_all: bool = False
    """Whether it sees avatars and sessions of other owners too."""

    def sees(self, owner: str) -> bool:
        """Whether things of `owner` are visible."""
        return self.sees_all or owner == self.owner

    @property
    def only(self) -> str:
        """The only owner whose things are visible; empty if all are."""
        return "" if self.sees_all else self.owner


UNRESTRICTED = Viewer(LOCAL_OWNER, sees_all=True)
"""The service itself, and every client if no keys are configured."""
