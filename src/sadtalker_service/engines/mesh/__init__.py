"""Mesh engine: a source image, a rig of 478 landmarks, and a speaking mouth. CPU only, no download."""

from sadtalker_service.engines.mesh.engine import MeshEngine

__all__ = ["MeshEngine"]
