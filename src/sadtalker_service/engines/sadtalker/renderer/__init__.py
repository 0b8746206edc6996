"""The inference form of the face renderer: the same images with less work."""
