"""State on the queue server: sessions, avatars, events, registries. Every change is one Lua script.

The keys are documented in docs/queue-keys.md.
"""
