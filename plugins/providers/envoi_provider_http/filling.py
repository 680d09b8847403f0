"""Names in curly brackets become values, escaped for where they stand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl, quote
from xml.sax.saxutils import escape

NAMES = frozenset({"phone", "digits", "text", "sender", "key", "parts", "lifetime", "secret"})
_NAME = re.compile(r"\{(\w+)\}")


class Kind(StrEnum):
    """What a body is made of."""

    JSON = "json"
    FORM = "form"
    XML = "xml"
    TEXT = "text"

    @property
    def label(self) -> str:
        """What a person chooses."""
        return "Form" if self is Kind.FORM else "Text" if self is Kind.TEXT else self.upper()

    @property
    def media_type(self) -> str:
        """What the header says."""
        return _MEDIA_TYPES[self]


_MEDIA_TYPES = {
    Kind.JSON: "application/json",
    Kind.FORM: "application/x-www-form-urlencoded",
    Kind.XML: "application/xml; charset=utf-8",
    Kind.TEXT: "text/plain; charset=utf-8",
}
_ESCAPES: Mapping[Kind, Callable[[str], str]] = {
    Kind.JSON: lambda value: json.dumps(value)[1:-1],
    Kind.FORM: lambda value: quote(value, safe=""),
    Kind.XML: lambda value: escape(value, {'"': "&quot;"}),
    Kind.TEXT: str,
}


def names_in(template: str) -> set[str]:
    """The names that a template speaks of."""
    return set(_NAME.findall(template))


def filled(template: str, values: Mapping[str, str], kind: Kind) -> str:
    """Fill a template in; an address is filled in like a form."""
    escaped = _ESCAPES[kind]
    return _NAME.sub(lambda match: escaped(values[match[1]]), template)


def tree_of(body: bytes) -> Any:
    """What an answer or a report says: JSON, else a form, else nothing but its text."""
    text = body.decode(errors="replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return dict(parse_qsl(text))


def found_at(place: str, tree: Any, text: str) -> str | None:
    """What stands at a path, or between two texts; None where there is no such place."""
    if "{}" in place:
        before, _, after = place.partition("{}")
        _, mark, rest = text.partition(before) if before else ("", True, text)
        value = rest.partition(after)[0] if after else rest.partition("\n")[0]
        return value.strip() if mark else None
    for name in place.split("."):
        tree = _child(tree, name)
    return None if tree is None or isinstance(tree, dict | list) else str(tree)


def _child(tree: Any, name: str) -> Any:
    if isinstance(tree, dict):
        return tree.get(name)
    if isinstance(tree, list) and name.isdecimal() and int(name) < len(tree):
        return tree[int(name)]
    return None
