"""Inputs that failed once: small generators, what is right for each, and a table of what is seen."""
