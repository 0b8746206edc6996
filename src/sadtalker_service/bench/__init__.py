"""Measure the speed of the service on this machine."""
