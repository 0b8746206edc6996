"""Measures the house on the machine at hand."""
