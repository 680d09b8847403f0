"""What differs between two versions of a message, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_babel import lazy_gettext

from envoi.mailings.models import Mailing
from envoi_web.mailings.block_words import summary_of, type_of
from envoi_web.mailings.editor import Draft

_FIELDS = {
    "subject": lazy_gettext("Subject"),
    "preheader": lazy_gettext("Preheader"),
    "sender_name": lazy_gettext("Sender name"),
    "sender_address": lazy_gettext("Sender address"),
    "reply_to": lazy_gettext("Reply to"),
    "body": lazy_gettext("Content"),
    "text": lazy_gettext("Plain-text part"),
    "blocks": lazy_gettext("Blocks"),
    "style": lazy_gettext("Style"),
    "attachments": lazy_gettext("Attachments"),
}
_LONGEST = 300


def differences(mailing: Mailing, draft: Draft, stored: Mapping[str, Any]) -> list[dict[str, str]]:
    """List the fields that differ: what was typed, and what somebody else saved."""
    mine = draft.content | ({"name": draft.name} if draft.name else {})
    theirs = {**stored, "name": mailing.name}
    return [
        {
            "label": str(_FIELDS.get(name, name.replace("_", " ").capitalize())),
            "mine": _shown(mine.get(name)),
            "theirs": _shown(theirs.get(name)),
        }
        for name in mine
        if mine.get(name) != theirs.get(name)
    ]


def _shown(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        names = (f"{type_of(block)[0]} {summary_of(block)}".strip() for block in value)
        return "; ".join(names)[:_LONGEST]
    if isinstance(value, Mapping):
        return ", ".join(str(each) for each in value.values())[:_LONGEST]
    return str(value or "–")[:_LONGEST]
