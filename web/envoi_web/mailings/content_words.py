"""What is wrong with a message, in words: the block and field it concerns, and where to mend it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask import url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy.orm import Session

from envoi.mailings import service
from envoi.mailings.content import content_problems
from envoi.mailings.models import Mailing
from envoi.mailings.variants import find_block
from envoi.webkit import current
from envoi.webkit.formats import translated
from envoi_web.mailings.block_words import label_of, type_of
from envoi_web.mailings.editor import position_of
from envoi_web.mailings.editor_context import LETTERS, block_of

_FIELDS = {
    "subject": lazy_gettext("Subject"),
    "preheader": lazy_gettext("Preheader"),
    "sender_name": lazy_gettext("Sender name"),
    "sender_address": lazy_gettext("Sender address"),
    "reply_to": lazy_gettext("Reply to"),
    "body": lazy_gettext("Message"),
    "body_format": lazy_gettext("Message"),
    "blocks": lazy_gettext("Message"),
    "text": lazy_gettext("Plain text"),
    "attachments": lazy_gettext("Attachments"),
    "utm": lazy_gettext("UTM parameters"),
}


@dataclass(frozen=True)
class Fault:
    """One thing to mend: where it is in words, what is wrong, and the address that opens it."""

    place: str
    message: str
    url: str


def content_faults(session: Session, mailing: Mailing) -> Iterator[Fault]:
    """Say everything that keeps a mailing's message from being sent."""
    found = service.variants_of(session, mailing)
    for variant in found:
        of_variant = _("Variant %(letter)s", letter=LETTERS[variant.number - 1])
        for problem in content_problems(session, current.plugins, mailing, variant.number):
            block_id, name = block_of(variant.content, problem.field)
            places = [str(of_variant)] if len(found) > 1 else []
            places += [_place(variant.content, block_id, name or problem.field.partition(".")[0])]
            url = url_for(
                "mailings.what",
                mailing_id=mailing.id,
                variant=variant.number,
                block=block_id or None,
            )
            yield Fault(", ".join(filter(None, places)), translated(problem.message), url)


def _place(content: Mapping[str, Any], block_id: str, name: str) -> str:
    """Name a field of the message, or the block it stands in, counted from the top."""
    if not block_id:
        return str(_FIELDS.get(name, ""))
    block = find_block(content, block_id)
    place, inside = position_of(content, block_id)
    words = [_("Block %(number)s", number=place + 1), type_of(block)[0]]
    if inside is not None:
        outer, _inside = position_of(content, inside[0])
        words[:1] = [
            _("Block %(number)s", number=outer + 1),
            _("column %(number)s", number=inside[1] + 1),
        ]
    label = label_of(str(block.get("type")), name) if name else ""
    return ", ".join(map(str, [*words, *([label] if label not in (*words, "") else [])]))
