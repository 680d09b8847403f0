"""Apple Push Notification service: push to iOS apps."""
