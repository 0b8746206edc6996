"""The HTTP interface: reads requests, calls the services, presents their results. It decides nothing."""
