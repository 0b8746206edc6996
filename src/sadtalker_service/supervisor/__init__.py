"""`sadtalker serve`: starts stores, API and workers, restarts what dies, and stops them all at the end."""
