"""The worker: its two processes, its tasks, and the jobs that prepare avatars and render videos."""
