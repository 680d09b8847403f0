"""Makes Viber messages: a JSON object that every Viber provider turns into its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape, unescape
from typing import Any

from pydantic import BaseModel

from envoi.errors import Problem, ValidationFailedError
from envoi.types import (
    Click,
    CompiledContent,
    ContentKit,
    Envelope,
    Length,
    NumberedLinks,
    Outgoing,
    Recipient,
    Template,
)
from envoi_channel_viber.content import MOST_CHARACTERS, MOST_OF_BUTTON, ViberContent

_BEFORE, _AFTER = '<a href="', '"></a>'
_TEXTS = ("text", "image", "button")


@dataclass(frozen=True, slots=True)
class CompiledViber:
    """A compiled variant; safe to share between threads."""

    texts: Mapping[str, Template]
    link: Template
    numbered: NumberedLinks
    sender: str
    category: str

    @property
    def links(self) -> tuple[str, ...]:
        """The target of the button."""
        return self.numbered.targets

    def render(self, recipient: Recipient) -> Outgoing:
        """Make the message for one recipient.

        Raises:
            ValidationFailedError: There is no phone, or the values do not suit the message.
        """
        if not recipient.address.startswith("+") or not recipient.address[1:].isdecimal():
            raise _refused("address", "This is no phone number with its country code.")
        variables = {**recipient.variables, "unsubscribe_url": recipient.unsubscribe_url}
        fields = self.filled(variables, recipient.click)
        _require_sound(fields)
        return Outgoing(
            key=recipient.message_key,
            address=recipient.address,
            sender=self.sender,
            payload=json.dumps({**fields, "category": self.category}).encode(),
        )

    def filled(self, variables: Mapping[str, Any], click: Click) -> dict[str, str]:
        """The fields of the message for these variables."""
        fields = {name: _clean(text.render(variables)) for name, text in self.texts.items()}
        filled = self.numbered.fill(self.link.render(variables), click, html=True)
        href = unescape(filled.removeprefix(_BEFORE).removesuffix(_AFTER)).strip()
        return {**fields, "url": href}


def compile_viber(content: BaseModel, _envelope: Envelope, kit: ContentKit) -> CompiledContent:
    """Check the templates and compile them."""
    assert isinstance(content, ViberContent)
    return _compiled(content, kit)


def preview_viber(content: BaseModel, kit: ContentKit, variables: Mapping[str, Any]) -> str:
    """The text that one customer sees, between the picture and the button."""
    assert isinstance(content, ViberContent)
    return _shown(content, kit, variables)["text"]


def length_viber(
    content: BaseModel,
    kit: ContentKit,
    variables: Mapping[str, Any],
    click: Click,  # noqa: ARG001 (only the button has one, whose length nobody counts)
) -> Length:
    """How long the text is; a message counts as one."""
    assert isinstance(content, ViberContent)
    characters = len(_shown(content, kit, variables)["text"])
    left = max(0, MOST_CHARACTERS - characters)
    parts = max(1, -(-characters // MOST_CHARACTERS))
    return Length(characters=characters, parts=parts, left=left, most_parts=1)


def _compiled(content: ViberContent, kit: ContentKit) -> CompiledViber:
    numbered = kit.number_links(f"{_BEFORE}{escape(content.link)}{_AFTER}")
    return CompiledViber(
        texts={name: kit.template(getattr(content, name), html=False) for name in _TEXTS},
        link=kit.template(numbered.html, html=True),
        numbered=numbered,
        sender=content.sender_name,
        category=content.category.value,
    )


def _shown(content: ViberContent, kit: ContentKit, variables: Mapping[str, Any]) -> dict[str, str]:
    compiled = _compiled(content, kit)
    targets = compiled.numbered.targets
    return compiled.filled(variables, lambda number, target: target or targets[number])


def _require_sound(fields: Mapping[str, str]) -> None:
    """Refuse what no provider takes: values may make a message too long, or empty."""
    if len(fields["text"]) > MOST_CHARACTERS:
        raise _refused("text", f"The text is longer than {MOST_CHARACTERS:,} characters.")
    if len(fields["button"]) > MOST_OF_BUTTON:
        raise _refused("button", f"The button is longer than {MOST_OF_BUTTON} characters.")
    if not fields["text"] and not fields["image"]:
        raise _refused("text", "The text is empty for this customer.")
    for name in ("image", "url"):
        if fields[name] and not fields[name].lower().startswith(("https://", "http://")):
            raise _refused("link" if name == "url" else name, "This is no web address.")


def _clean(value: str) -> str:
    """What no phone shows is left out; half a character becomes a question mark."""
    whole = value.encode("utf-8", "replace").decode()
    return whole.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n").strip()


def _refused(field: str, sentence: str) -> ValidationFailedError:
    return ValidationFailedError([Problem(field, sentence)])
