"""What the server of the queue holds: sessions, avatars, events, registries; one Lua script a change.

Its keys are in docs/queue-keys.md.
"""
