"""Makes messages for social networks: a JSON object that every provider turns into its own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from envoi.errors import Problem, TemplateError, ValidationFailedError
from envoi.types import CompiledContent, ContentKit, Envelope, Outgoing, Recipient, Template
from envoi_channel_social.content import SocialContent

_PHONE = re.compile(r"\+[1-9][0-9]{4,14}")


@dataclass(frozen=True, slots=True)
class CompiledSocial:
    """A compiled variant; safe to share between threads."""

    text: Template
    template: str
    links: tuple[str, ...] = ()
    """None: an approved text allows no other addresses than its own."""

    def render(self, recipient: Recipient) -> Outgoing:
        """Make the message for one recipient.

        Raises:
            ValidationFailedError: There is no phone, or nothing is left of the text.
        """
        if not _PHONE.fullmatch(recipient.address):
            raise _refused("address", "This is no phone number with its country code.")
        variables = {**recipient.variables, "unsubscribe_url": recipient.unsubscribe_url}
        text = self.filled(variables)
        if not text:
            raise _refused("text", "The text is empty for this customer.")
        return Outgoing(
            key=recipient.message_key,
            address=recipient.address,
            sender="",
            payload=json.dumps({"text": text, "template": self.template}).encode(),
        )

    def filled(self, variables: Mapping[str, Any]) -> str:
        """The text for these variables; half a character becomes a question mark."""
        whole = self.text.render(variables).encode("utf-8", "replace").decode()
        return whole.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n").strip()


def compile_social(content: BaseModel, _envelope: Envelope, kit: ContentKit) -> CompiledContent:
    """Check the template and compile it."""
    return _compiled(content, kit)


def preview_social(content: BaseModel, kit: ContentKit, variables: Mapping[str, Any]) -> str:
    """The text that one customer reads."""
    return _compiled(content, kit).filled(variables)


def _compiled(content: BaseModel, kit: ContentKit) -> CompiledSocial:
    assert isinstance(content, SocialContent)
    try:
        return CompiledSocial(kit.template(content.text, html=False), content.template)
    except TemplateError as error:
        raise _refused("text", error.problems[0].message) from error


def _refused(field: str, sentence: str) -> ValidationFailedError:
    return ValidationFailedError([Problem(field, sentence)])
