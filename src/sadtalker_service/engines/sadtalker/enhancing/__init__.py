"""Restores drawn faces, and the picture around them, with networks of other projects."""
