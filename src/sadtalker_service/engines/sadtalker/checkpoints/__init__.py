"""The official checkpoint files: a table of them, and how to download, verify and load them."""
