"""The networks at work: loaded onto a device, given arrays, giving arrays."""
