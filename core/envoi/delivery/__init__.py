"""Delivery: gateways, runs, the ledger of messages, senders, and what became unconfirmed."""
