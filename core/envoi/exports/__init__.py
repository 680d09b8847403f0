"""Files made in the background for people to download."""
