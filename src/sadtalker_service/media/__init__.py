"""Pictures, sound and video: decoding what comes in, encoding what goes out."""
