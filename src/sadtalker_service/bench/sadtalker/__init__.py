"""Measure the speed of the SadTalker networks on a device, compared with the original's structure.

Speed does not depend on the values of the weights, so random weights replace the checkpoints. The measurement
needs only torch, so it runs on a bare GPU machine from a source tree:

    PYTHONPATH=src python -m sadtalker_service.bench.sadtalker --json
"""
