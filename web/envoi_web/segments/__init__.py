"""Segments: the list, and the builder with its live count."""

from envoi_web.segments.views import segments

__all__ = ["segments"]
