"""What is wrong with a message, in words: the block and field it concerns, and where to mend it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from flask import url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy.orm import Session

from envoi.mailings import service
from envoi.mailings.cascade import channels_of
from envoi.mailings.content import content_problems
from envoi.mailings.models import Mailing
from envoi.mailings.variants import content_at, find_block
from envoi.webkit import current
from envoi.webkit.formats import translated
from envoi_web.mailings.block_words import label_of, type_of
from envoi_web.mailings.context import step_words
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
    channels = list(enumerate(channels_of(mailing), start=1))
    for variant, (step, channel) in product(found, channels):
        places = [step_words(step, channel)] if mailing.cascade else []
        if len(found) > 1:
            places.append(str(_("Variant %(letter)s", letter=LETTERS[variant.number - 1])))
        content = content_at(variant, step)
        for problem in content_problems(session, current.plugins, mailing, variant.number, step):
            block_id, name = block_of(content, problem.field)
            name = name or problem.field.partition(".")[0]
            place = _in_block(content, block_id, name) if block_id else _label(channel, name)
            url = url_for(
                "mailings.what",
                mailing_id=mailing.id,
                variant=variant.number,
                step=step if mailing.cascade else None,
                block=block_id or None,
            )
            words = ", ".join(filter(None, [*places, place]))
            yield Fault(words, translated(problem.message), url)


def _label(channel: str, name: str) -> str:
    """Name a field as its channel does, or as the editor of blocks."""
    field = current.plugins.channels[channel].content_schema.model_fields.get(name)
    return translated(field.title) if field and field.title else str(_FIELDS.get(name, ""))


def _in_block(content: Mapping[str, Any], block_id: str, name: str) -> str:
    """Name a field of a block, which is counted from the top."""
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
