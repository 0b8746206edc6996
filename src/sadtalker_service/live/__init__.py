"""Live sessions: an avatar that talks while its sound arrives, and idles and listens in between.

`avatar` turns sound into frames, `pacing` says when each is due, `generator` joins both for asyncio, and
`webrtc` sends them to a browser. This package does not know HTTP or the queue server.
"""
