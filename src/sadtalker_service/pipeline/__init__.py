"""From source image to cached avatar, from avatar and speech to video. Knows no HTTP and no terminal."""
