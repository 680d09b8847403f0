"""The demo company: real-shaped purchases, invented identities, and a mailbox of its own."""
