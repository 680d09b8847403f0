"""What comes back after a message has left: bounces, complaints, and where they are kept."""
