"""Uploads: multipart forms are parsed as they arrive, and their fields become a request."""
