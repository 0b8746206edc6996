"""The neural engine: a new implementation of the SadTalker networks, for the V0.0.2 checkpoints."""
