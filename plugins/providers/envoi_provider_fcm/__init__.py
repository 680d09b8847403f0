"""Firebase Cloud Messaging: push to Android, web and iOS apps."""
