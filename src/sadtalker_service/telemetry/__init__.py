"""Structured logs and metrics of the running service."""
