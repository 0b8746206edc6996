"""What outlives a request: the cache of artefacts, and files that are there whole or not at all."""
