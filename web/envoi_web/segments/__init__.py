"""Segments: the list, the builder with its live count, versions, and what is done with one."""

from envoi_web.segments import (  # noqa: F401 (they add their routes)
    actions,
    builder,
    versions,
    views,
)
from envoi_web.segments.blueprint import segments

__all__ = ["segments"]
