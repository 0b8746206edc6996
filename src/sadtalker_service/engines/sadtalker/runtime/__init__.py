"""Run the networks on a device: arrays in, arrays out."""
