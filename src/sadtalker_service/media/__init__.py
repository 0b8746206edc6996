"""Images, audio and video: decode the input, encode the output."""
