"""Segments: trees of conditions, compiled to one statement of customer ids."""
