"""The HTTP interface. It parses requests, calls the services and presents their results."""
