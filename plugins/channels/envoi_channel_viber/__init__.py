"""The Viber channel."""
