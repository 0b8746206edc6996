"""Turns records into the JSON of the answers. Values are measured; what was not measured is named so."""
