"""Carries live sessions: their connections, their drawing, their leases."""
