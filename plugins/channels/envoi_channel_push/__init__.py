"""The push channel: messages to apps on customers' devices."""
