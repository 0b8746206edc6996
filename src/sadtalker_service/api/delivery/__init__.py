"""What goes out while or after a video is rendered: downloads, ranges, live fragments, server-sent events."""
