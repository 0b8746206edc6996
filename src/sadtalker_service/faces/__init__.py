"""Faces in a picture: the largest one, its box, and 478 landmarks. Used by every engine."""

from sadtalker_service.settings import set_environment

# onnxruntime tells its makers over the network how it is used, and keeps a number for this machine in the
# home folder, unless this is set before it is loaded
set_environment({"ORT_DISABLE_TELEMETRY": "1"})
