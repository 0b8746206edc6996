"""Face detection: the largest face of an image, its box, and 478 landmarks. Used by every engine."""

from sadtalker_service.environment import set_environment

# Unless this is set before onnxruntime is loaded, it sends usage data to its makers and stores an identifier
# of this machine in the home folder.
set_environment({"ORT_DISABLE_TELEMETRY": "1"})
