"""Who may ask, and how often: API keys, their rights, rate limits."""
