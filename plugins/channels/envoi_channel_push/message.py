"""Makes push messages: a JSON object that every push provider turns into its own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape, unescape
from typing import Any

from pydantic import BaseModel

from envoi.errors import Problem, ValidationFailedError
from envoi.types import (
    CompiledContent,
    ContentKit,
    Envelope,
    NumberedLinks,
    Outgoing,
    Recipient,
    Template,
)
from envoi_channel_push.content import MOST_BYTES, PushContent, refused_link

ROOM = MOST_BYTES - 256
"""What is left for the marketer beside the names and the key that providers add."""

_TEXTS = ("title", "text", "image")
_CODE = re.compile(r"\{[{%]")


@dataclass(frozen=True, slots=True)
class CompiledPush:
    """A compiled variant; safe to share between threads."""

    texts: Mapping[str, Template]
    link: Template
    numbered: NumberedLinks
    data: Mapping[str, Template]

    @property
    def links(self) -> tuple[str, ...]:
        """The target of the link, where it is a web page."""
        return self.numbered.targets

    def render(self, recipient: Recipient) -> Outgoing:
        """Make the message for one customer's devices.

        Raises:
            ValidationFailedError: There is no device, or the values make it too large.
        """
        if not recipient.devices:
            reason = "The customer has no device that takes push messages."
            raise ValidationFailedError([Problem("", reason)])
        variables = {**recipient.variables, "unsubscribe_url": recipient.unsubscribe_url}
        fields = {name: t.render(variables) for name, t in self.texts.items()}
        fields["link"] = self._link(variables, recipient)
        data = {name: template.render(variables) for name, template in self.data.items()}
        return Outgoing(
            key=recipient.message_key,
            address=recipient.address,
            sender="",
            payload=_payload(fields, data),
            devices=recipient.devices,
        )

    def _link(self, variables: Mapping[str, Any], recipient: Recipient) -> str:
        rendered = self.link.render(variables)
        filled = self.numbered.fill(rendered, recipient.click, html=True)
        link = _href(filled)
        if link and (reason := refused_link(link)):
            raise ValidationFailedError([Problem("link", reason)])
        return link


def compile_push(content: BaseModel, envelope: Envelope, kit: ContentKit) -> CompiledContent:  # noqa: ARG001 (every channel's signature)
    """Check the templates, and the size where it is the same for everybody."""
    assert isinstance(content, PushContent)
    numbered = kit.number_links(f'<a href="{escape(content.link)}"></a>')
    texts = {name: getattr(content, name) for name in _TEXTS}
    if not any(map(_CODE.search, (*texts.values(), content.link, *content.data.values()))):
        _payload({**texts, "link": content.link}, content.data)
    return CompiledPush(
        texts={name: kit.template(text, html=False) for name, text in texts.items()},
        link=kit.template(numbered.html, html=True),
        numbered=numbered,
        data={name: kit.template(text, html=False) for name, text in content.data.items()},
    )


def preview_push(content: BaseModel, kit: ContentKit, variables: Mapping[str, Any]) -> str:
    """Return the title and the text as one customer sees them, below each other."""
    assert isinstance(content, PushContent)
    shown = (content.title, content.text)
    rendered = (kit.template(text, html=False).render(variables) for text in shown)
    return "\n".join(filter(None, rendered))


def _payload(fields: Mapping[str, str], data: Mapping[str, str]) -> bytes:
    """Put a message together; one that no service would take is refused at its longest field."""
    found = {**{name: _plain(value) for name, value in fields.items()}, "data": dict(data)}
    payload = json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
    if len(payload) <= ROOM:
        return payload
    longest = max(found, key=lambda name: len(str(found[name]).encode(errors="replace")))
    reason = (
        f"The message has {len(payload):,} bytes, and push services take {ROOM:,}; a Cyrillic"
        " letter is two, an emoji four. Shorten it here."
    )
    raise ValidationFailedError([Problem(longest, reason)])


def _plain(value: str) -> str:
    return value.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n").strip()


def _href(filled: str) -> str:
    """The address of the only link that a text holds."""
    href = filled.removeprefix('<a href="').removesuffix('"></a>')
    return unescape(href).strip()
