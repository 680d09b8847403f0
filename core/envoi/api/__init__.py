"""The API for other systems of a company: keys, devices of customers, and facts of messages."""
