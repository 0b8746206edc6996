"""Sends videos: downloads, byte ranges, live fragments, server-sent events."""
