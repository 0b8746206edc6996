"""From landmarks and pixels to the networks' inputs: the cropped square and the aligned face."""
