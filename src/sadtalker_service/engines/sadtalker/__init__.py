"""The neural engine: the SadTalker networks, written anew, with the official V0.0.2 checkpoints."""
