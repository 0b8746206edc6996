"""Enhance drawn faces and backgrounds with networks of other projects."""
