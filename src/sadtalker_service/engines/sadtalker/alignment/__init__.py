"""From landmarks and pixels to what the networks look at: the cropped square and the aligned face."""
