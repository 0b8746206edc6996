"""`sadtalker serve`: starts stores, API and workers, restarts what dies, stops what it started."""
