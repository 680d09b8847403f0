"""Advice on a message that is counted in parts: what it costs, and what readers see of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy.orm import Session

from envoi.gsm import Alphabet, measure
from envoi.mailings.cascade import channel_at
from envoi.mailings.lengths import lengths_of
from envoi.mailings.models import Mailing, Variant
from envoi.mailings.variants import content_at
from envoi.plugins import Plugins
from envoi.types import Length

_NO_SENDER_NAME = "There is no sender name. Customers see what the gateway has set."
_FEW = 5
"""Signs outside of GSM that a writer may not have noticed; more is another language."""


def text_problems(
    session: Session,
    plugins: Plugins,
    mailing: Mailing,
    variant: Variant,
    step: int,
    links_url: str,
) -> Iterator[tuple[str, str]]:
    """Say what was looked at in a variant's step, as (check, problem or nothing)."""
    content = content_at(variant, step)
    if (found := lengths_of(session, plugins, mailing, variant, links_url, step)) is not None:
        yield "parts", _parts_problem(found.longest.length)
        yield "alphabet", _alphabet_problem(found.longest.length, unicode_signs(content))
    if "sender_name" in plugins.channels[channel_at(mailing, step)].content_schema.model_fields:
        yield "sender_name", "" if content.get("sender_name") else _NO_SENDER_NAME


def _parts_problem(length: Length) -> str:
    if length.parts <= 1:
        return ""
    return f"The longest message makes {length.parts} parts, and each of them is paid for."


def _alphabet_problem(length: Length, signs: list[str]) -> str:
    if length.alphabet != Alphabet.UNICODE or not signs:
        return ""
    return (
        f"{' '.join(signs)} makes the whole message Unicode: 70 characters fit into a part"
        " instead of 160. Leave it out to pay less."
    )


def unicode_signs(content: Mapping[str, Any]) -> list[str]:
    """Return the few signs that turn a GSM text to Unicode; nothing where most of it is."""
    signs = dict.fromkeys(str(content.get("text", "")))
    outside = [s for s in signs if measure(s).alphabet is Alphabet.UNICODE]
    return outside if len(outside) <= _FEW and not any(map(str.isalpha, outside)) else []
