"""Audience: from a segment to one outcome for every customer of it."""
