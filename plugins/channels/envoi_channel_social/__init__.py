"""The channel of social networks."""
