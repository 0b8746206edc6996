"""Access control: API keys, their rights, rate limits."""
