"""Tracking: signed tokens, opens and clicks, counters, and who was a machine."""
