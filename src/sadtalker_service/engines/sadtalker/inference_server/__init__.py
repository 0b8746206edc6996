"""The networks behind a port: in this process, or in one that all workers of a machine share."""
