"""Subscriptions: opt-outs of channels and categories, suppression, and the consent log."""
