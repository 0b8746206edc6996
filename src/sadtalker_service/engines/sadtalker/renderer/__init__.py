"""The face renderer in the form in which it is run: the same pictures, less work."""
