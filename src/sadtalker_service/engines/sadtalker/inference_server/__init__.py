"""The networks behind an interface: in this process, or in one process shared by all workers of a machine."""
