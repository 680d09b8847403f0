"""Advice on a message that is counted in parts: what it costs, and what readers see of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy.orm import Session

from envoi.gsm import Alphabet, measure
from envoi.mailings.lengths import lengths_of
from envoi.mailings.models import Mailing, Variant
from envoi.plugins import Plugins

NAMES = ("parts", "alphabet", "sender_name")
"""The checks of this module."""

_FEW = 5
"""Signs outside of GSM that a writer may not have noticed; more is another language."""


def text_problems(
    session: Session, plugins: Plugins, mailing: Mailing, variant: Variant, links_url: str
) -> Iterator[tuple[str, str]]:
    """Say what is worth a look in a variant, as (check, problem)."""
    found = lengths_of(session, plugins, mailing, variant, links_url)
    if found is not None and (parts := found.longest.length.parts) > 1:
        yield "parts", f"The longest message makes {parts} parts, and each of them is paid for."
    signs = unicode_signs(variant.content)
    if found is not None and found.longest.length.alphabet == Alphabet.UNICODE and signs:
        advice = (
            f"{' '.join(signs)} makes the whole message Unicode: 70 characters fit into a part"
            " instead of 160. Leave it out to pay less."
        )
        yield "alphabet", advice
    schema = plugins.channels[mailing.channel].content_schema.model_fields
    if "sender_name" in schema and not variant.content.get("sender_name"):
        yield "sender_name", "There is no sender name. Customers see what the gateway has set."


def unicode_signs(content: Mapping[str, Any]) -> list[str]:
    """Return the few signs that turn a GSM text to Unicode; nothing where most of it is."""
    signs = dict.fromkeys(str(content.get("text", "")))
    outside = [s for s in signs if measure(s).alphabet is Alphabet.UNICODE]
    return outside if len(outside) <= _FEW and not any(map(str.isalpha, outside)) else []
