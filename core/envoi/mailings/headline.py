"""What a message is known by in lists: its subject, its title, or the start of its text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, func

_FIELDS = ("subject", "title", "text")
"""The first of these that a channel has, and somebody has filled in."""

_LONGEST = 200


def headline(content: Mapping[str, Any]) -> str:
    """Return the line that a variant's content is known by, templates as written."""
    lines = (" ".join(str(content.get(name) or "").split()) for name in _FIELDS)
    return next(filter(None, lines), "")[:_LONGEST]


def headline_of(content: Any) -> ColumnElement[str]:
    """Make the same of a column of contents; null where there is nothing yet."""
    filled = (func.nullif(content[name].astext, "") for name in _FIELDS)
    return func.left(func.coalesce(*filled), _LONGEST)
