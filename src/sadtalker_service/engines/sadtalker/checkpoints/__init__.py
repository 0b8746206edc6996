"""The official checkpoint files: which there are, and how they are read."""
