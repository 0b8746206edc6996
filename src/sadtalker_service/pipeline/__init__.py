"""From a portrait to a cached avatar, from an avatar and speech to a video. Knows no HTTP and no terminal."""
