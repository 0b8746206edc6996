"""Turns records into response bodies. All values are measured; a text says so if one is not measured yet."""
