"""Faces in a picture: the largest one, its box, and 478 landmarks. Used by every engine."""
