"""Owners: whose an avatar or a session is, and who is asking.

Every avatar and every session belongs to an owner, a name from the settings of the API keys. An avatar may
belong to several owners, who have uploaded the same picture: each sees it as their own. What is computed
from it is shared.
"""

from __future__ import annotations

from dataclasses import dataclass

LOCAL_OWNER = "local"
"""Owner of everything where no keys are set."""


@dataclass(frozen=True)
class Viewer:
    """Somebody who asks."""

    owner: str
    sees_all: bool = False
    """Whether avatars and sessions of other owners are shown too."""

    def sees(self, owner: str) -> bool:
        """Whether what belongs to `owner` is shown."""
        return self.sees_all or owner == self.owner

    @property
    def only(self) -> str:
        """The one owner whose things are shown; empty where all are."""
        return "" if self.sees_all else self.owner


EVERYBODY = Viewer(LOCAL_OWNER, sees_all=True)
"""The service itself, and whoever asks where no keys are set."""
