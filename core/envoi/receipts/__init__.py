"""Receipts: purchases with their lines, and their attribution to messages."""
