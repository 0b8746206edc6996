"""Live sessions: an avatar that talks while its sound arrives, and idles and listens in between.

`avatar` turns sound into frames, `pacing` says when each is due, `generator` joins both for asyncio, and
`webrtc` sends them to a browser. Nothing here knows HTTP or a queue's server.
"""
