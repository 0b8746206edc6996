"""How fast the SadTalker networks are on a device, beside the structure of the original.

Speed does not depend on the weights' values, so that no checkpoint is needed: drawn weights do. Nothing but
torch is needed either, so that it runs on a bare GPU machine from a source tree:

    PYTHONPATH=src python -m sadtalker_service.bench.sadtalker --json
"""
