"""The face renderer in the form in which it is run: the trained generator's pictures for three quarters of its work."""
