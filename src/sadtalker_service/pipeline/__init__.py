"""From source image to avatar, and from avatar and driven audio to video. No HTTP and no terminal here."""
