"""Templates, images and attachments that mailings are made of."""
