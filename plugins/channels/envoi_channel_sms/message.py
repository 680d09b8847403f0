"""Compiles an SMS once per variant, and measures it by the same code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from envoi import gsm
from envoi.errors import Problem, TemplateError, ValidationFailedError
from envoi.types import (
    Click,
    ContentKit,
    Envelope,
    Length,
    NumberedLinks,
    Outgoing,
    Recipient,
    Template,
)
from envoi_channel_sms.content import MOST_PARTS, SmsContent

_PHONE = re.compile(r"\+[1-9][0-9]{4,14}")
_LINE_END = re.compile("\r\n?|[\x85\u2028\u2029]")
_UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ufffe\uffff]")
_HALF = re.compile("[\ud800-\udfff]")


def compile_sms(content: BaseModel, _envelope: Envelope, kit: ContentKit) -> CompiledSms:
    """Check and compile a variant's content; raise `TemplateError` where it cannot be."""
    assert isinstance(content, SmsContent)
    compiled = _compiled(content, kit)
    bare = compiled.template.render({})
    if bare.strip():
        _require_short(_clean(compiled.numbered.fill(bare, _as_written, html=False)))
    return compiled


def preview_sms(content: BaseModel, kit: ContentKit, variables: Mapping[str, Any]) -> str:
    """The text a person reads for these variables, made by the code that sends."""
    assert isinstance(content, SmsContent)
    compiled = _compiled(content, kit)
    targets = compiled.numbered.targets
    return compiled.text(variables, lambda number, target: target or targets[number])


def length_sms(
    content: BaseModel, kit: ContentKit, variables: Mapping[str, Any], click: Click
) -> Length:
    """How long the message is that these variables make, tracked addresses included."""
    assert isinstance(content, SmsContent)
    found = gsm.measure(_compiled(content, kit).text(variables, click))
    return Length(
        characters=found.characters,
        parts=found.parts,
        left=found.left,
        most_parts=MOST_PARTS,
        alphabet=found.alphabet,
    )


@dataclass(frozen=True, slots=True)
class CompiledSms:
    """A compiled variant; safe to share between threads."""

    template: Template
    numbered: NumberedLinks
    sender: str
    transliterate: bool

    @property
    def links(self) -> tuple[str, ...]:
        """The targets of the tracked links by number, as written."""
        return self.numbered.targets

    def text(self, variables: Mapping[str, Any], click: Click) -> str:
        """What the phone shows."""
        filled = self.numbered.fill(self.template.render(variables), click, html=False)
        cleaned = _clean(filled)
        return gsm.transliterate(cleaned) if self.transliterate else cleaned

    def render(self, recipient: Recipient) -> Outgoing:
        """Make the message for one recipient.

        Raises:
            ValidationFailedError: The number is none, or the values do not suit the text.
        """
        if not _PHONE.fullmatch(recipient.address):
            raise _refused("address", "This is no phone number with its country code.")
        variables = {
            **recipient.variables,
            "unsubscribe_url": recipient.unsubscribe_url,
            "preferences_url": recipient.preferences_url,
            "view_url": recipient.view_url,
        }
        text = self.text(variables, recipient.click)
        if not text:
            raise _refused("text", "The text is empty for this customer.")
        return Outgoing(
            key=recipient.message_key,
            address=recipient.address,
            sender=self.sender,
            payload=text.encode(),
            parts=_require_short(text),
        )


def _compiled(content: SmsContent, kit: ContentKit) -> CompiledSms:
    numbered = kit.number_text_links(content.text if content.track_links else "", content.utm)
    try:
        # Checked first as it was written, so that an error names a line that a person can see.
        plain = kit.template(content.text, html=False)
        slotted = kit.template(numbered.html, html=False) if numbered.targets else plain
    except TemplateError as error:
        raise _refused("text", error.problems[0].message) from error
    return CompiledSms(
        template=slotted,
        numbered=numbered,
        sender=content.sender_name,
        transliterate=content.transliterate,
    )


def _clean(text: str) -> str:
    """What no phone shows is left out; half a character becomes a question mark."""
    lines = _UNSEEN.sub("", _LINE_END.sub("\n", text.replace("\t", " ")))
    return _HALF.sub("?", lines).strip()


def _require_short(text: str) -> int:
    found = gsm.measure(text)
    if found.parts > MOST_PARTS:
        raise _refused(
            "text",
            f"The text makes {found.parts} parts ({found.alphabet}), and at most {MOST_PARTS}"
            " are sent to one customer. Shorten it.",
        )
    return found.parts


def _refused(field: str, sentence: str) -> ValidationFailedError:
    return ValidationFailedError([Problem(field, sentence)])


def _as_written(_number: int, target: str) -> str:
    return target
