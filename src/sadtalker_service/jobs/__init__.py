"""Use cases of the service, the Celery app, and what puts right what accidents leave behind."""
