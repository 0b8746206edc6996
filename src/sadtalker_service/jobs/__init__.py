"""Use cases of the service, the Celery application, and the janitor that cleans up after failures."""
