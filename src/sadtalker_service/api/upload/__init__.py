"""What comes in: multipart forms read as they arrive, files into a folder, fields into a request."""
