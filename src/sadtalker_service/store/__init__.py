"""Data that outlives a request: the artefact cache, and files that are written completely or not at all."""
