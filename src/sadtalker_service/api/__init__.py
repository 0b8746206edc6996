"""The HTTP face: reads requests, calls the front video_service, renders what it says. Decides nothing."""
