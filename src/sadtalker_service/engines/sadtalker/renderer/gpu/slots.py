"""A table of sources in fixed memory, which graphs read."""

from __future__ import annotations

from collections.abc import Sequence

from sadtalker_service.engines.sadtalker.renderer.gpu.steps import Sources
from sadtalker_service.engines.sadtalker.renderer.renderer import Scene


def empty_table(scene: Scene, slots: int) -> Sources:
    """Slots for sources like that of `scene`, all zero."""
    like = scene.sources(1)
    volume, compressed, keypoints = (
        array.new_zeros(slots, *array.shape[1:]) for array in (like.volume, like.compressed, like.keypoints)
    )
    return Sources(volume, compressed, keypoints, like.owners)


class SourceSlots:
    """Puts sources into the slots of a table. The one that was not used for the longest time makes room."""

    def __init__(self, table: Sources) -> None:
        self.table = table
        self._used: dict[int, Scene] = {}
        """Slot -> scene, the one used last at the end."""

    def place(self, scenes: Sequence[Scene]) -> list[int]:
        """The slot of each scene. Raises `ValueError` if there are more scenes than slots."""
        known = {id(scene): slot for slot, scene in self._used.items()}
        slots = len(self.table.keypoints)
        missing = {id(scene): scene for scene in scenes if id(scene) not in known}
        busy = {known[id(scene)] for scene in scenes if id(scene) in known}
        if len(busy) + len(missing) > slots:
            raise ValueError(f"A batch has {len(busy) + len(missing)} sources for {slots} slots.")
        free = [slot for slot in range(slots) if slot not in self._used]
        free += [slot for slot in self._used if slot not in busy]
        for (key, scene), slot in zip(missing.items(), free, strict=False):
            self._write(slot, scene)
            known[key] = slot
            self._used[slot] = scene
        found = [known[id(scene)] for scene in scenes]
        for slot in found:  # used last
            self._used[slot] = self._used.pop(slot)
        return found

    def _write(self, slot: int, scene: Scene) -> None:
        source = scene.sources(1)
        self.table.volume[slot].copy_(source.volume[0])
        self.table.compressed[slot].copy_(source.compressed[0])
        self.table.keypoints[slot].copy_(source.keypoints[0])
