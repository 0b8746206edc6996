"""The mesh engine: a photo, a rig of 478 landmarks, and a mouth that speaks. CPU only, no download."""

from sadtalker_service.engines.mesh.engine import MeshEngine

__all__ = ["MeshEngine"]
