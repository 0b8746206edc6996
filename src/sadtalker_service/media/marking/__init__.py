"""Mark finished videos as synthetic media, in a way that programs can read and verify."""
