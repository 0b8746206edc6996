"""What runs in the background: sessions and their states, the queue, workers, the stores they need."""
