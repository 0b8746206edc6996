"""What the service tells of itself while it works: structured logs and metrics."""
