"""Captions: words with their times become cues that can be read; a text is aligned with a recording of it."""
