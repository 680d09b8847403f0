"""What the workers bring to the core."""
