"""Compiles an email once per variant; only what is personal is made per recipient."""

from __future__ import annotations

import re
import struct
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Any

from pydantic import BaseModel

from envoi.types import (
    Attachment,
    ContentKit,
    Envelope,
    NumberedLinks,
    Outgoing,
    Recipient,
    Template,
)
from envoi_channel_email.content import BodyFormat, EmailContent
from envoi_channel_email.headers import date_field, file_name, mailbox, sendable, unstructured

_BODY = re.compile(r"<body\b[^>]*>", re.IGNORECASE)
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)
_PREHEADER = '<div style="display:none;max-height:0;overflow:hidden;mso-hide:all">{}</div>'
_PIXEL = '<img src="{{ open_url }}" width="1" height="1" alt="" style="display:block;border:0">'

# "=_" never occurs in base64, so the boundary cannot occur in a part.
_BOUNDARY = "=_envoi_alternative"
_PART = (
    "--{boundary}\r\nContent-Type: text/{subtype}; charset=utf-8\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\n"
)
_TEXT_PART = _PART.format(boundary=_BOUNDARY, subtype="plain").encode()
_HTML_PART = b"\r\n" + _PART.format(boundary=_BOUNDARY, subtype="html").encode()
_END = f"\r\n--{_BOUNDARY}--\r\n".encode()
_MIXED = "=_envoi_mixed"
_ALTERNATIVE = f'Content-Type: multipart/alternative; boundary="{_BOUNDARY}"\r\n\r\n'


def compile_email(content: BaseModel, envelope: Envelope, kit: ContentKit) -> CompiledEmail:
    """Check and compile a variant's content; raise `TemplateError` where it cannot be."""
    assert isinstance(content, EmailContent)
    numbered = kit.number_links(_with_pixel(_html(content, kit)))
    return CompiledEmail(
        numbered=numbered,
        subject=kit.template(content.subject, html=False),
        text=kit.template(content.text or kit.plain_text(numbered.html), html=False),
        html=kit.template(numbered.html, html=True),
        frame=_Frame.of(content, envelope, [kit.attachment(n) for n in content.attachments]),
    )


def preview_email(content: BaseModel, kit: ContentKit, variables: Mapping[str, Any]) -> str:
    """The HTML a person sees for these variables, made by the code that sends."""
    assert isinstance(content, EmailContent)
    numbered = kit.number_links(_html(content, kit))
    rendered = kit.template(numbered.html, html=True).render(variables)
    return numbered.fill(rendered, lambda n, target: target or numbered.targets[n], html=True)


@dataclass(frozen=True, slots=True)
class _Frame:
    """The header fields that all messages of a variant share."""

    before: str
    """From and Reply-To."""
    after: str
    """From Feedback-ID to the beginning of the first part."""
    end: bytes
    """What follows the last part: attachments are the same for everybody."""
    message_domain: str
    return_path_domain: str
    unsubscribe_mailto: str

    @classmethod
    def of(
        cls, content: EmailContent, envelope: Envelope, attachments: Sequence[Attachment]
    ) -> _Frame:
        sender = f"From: {mailbox(content.sender_name, content.sender_address)}\r\n"
        reply_to = f"Reply-To: {content.reply_to}\r\n" if content.reply_to else ""
        feedback = envelope.feedback_id
        after = unstructured("Feedback-ID", feedback) if feedback else ""
        return cls(
            before=sender + reply_to,
            after=f"{after}MIME-Version: 1.0\r\n{_opening(attachments)}",
            end=_END + _closing(attachments),
            message_domain=envelope.message_domain,
            return_path_domain=envelope.return_path_domain,
            unsubscribe_mailto=envelope.list_unsubscribe_mailto,
        )

    def headers(self, recipient: Recipient, address: str, subject: str) -> str:
        key = recipient.message_key
        unsubscribe = f"<{recipient.one_click_url}>"
        if self.unsubscribe_mailto:
            unsubscribe += f",\r\n <mailto:{self.unsubscribe_mailto}?subject={key}>"
        return (
            f"{self.before}"
            f"To: {mailbox(recipient.name, address)}\r\n"
            f"{unstructured('Subject', subject)}"
            f"{date_field(int(time()))}"
            f"Message-ID: <{key}@{self.message_domain}>\r\n"
            f"List-Unsubscribe: {unsubscribe}\r\n"
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
            f"{self.after}"
        )


@dataclass(frozen=True, slots=True)
class CompiledEmail:
    """A compiled variant; safe to share between threads."""

    numbered: NumberedLinks
    subject: Template
    text: Template
    html: Template
    frame: _Frame

    @property
    def links(self) -> tuple[str, ...]:
        """The targets of the tracked links by number, as written."""
        return self.numbered.targets

    def render(self, recipient: Recipient) -> Outgoing:
        """Make the complete message for one recipient.

        Raises:
            ValidationFailedError: The address is none, or the values do not suit a template.
        """
        address = sendable(recipient.address)
        variables = {
            **recipient.variables,
            "unsubscribe_url": recipient.unsubscribe_url,
            "preferences_url": recipient.preferences_url,
            "view_url": recipient.view_url,
            "open_url": recipient.open_url,
        }
        click = _Clicks(recipient).address
        text = self.numbered.fill(self.text.render(variables), click, html=False)
        html = self.numbered.fill(self.html.render(variables), click, html=True)
        headers = self.frame.headers(recipient, address, self.subject.render(variables))
        parts = (_TEXT_PART, _base64(text), _HTML_PART, _base64(html), self.frame.end)
        key = recipient.message_key
        return Outgoing(
            key=key,
            address=address,
            sender=f"b+{key}@{self.frame.return_path_domain}",
            payload=b"".join((headers.encode(), *parts)),
        )


def _opening(attachments: Sequence[Attachment]) -> str:
    if not attachments:
        return _ALTERNATIVE
    mixed = f'Content-Type: multipart/mixed; boundary="{_MIXED}"\r\n\r\n'
    return f"{mixed}--{_MIXED}\r\n{_ALTERNATIVE}"


def _closing(attachments: Sequence[Attachment]) -> bytes:
    if not attachments:
        return b""
    return b"".join([*map(_attached, attachments), f"--{_MIXED}--\r\n".encode()])


def _attached(attachment: Attachment) -> bytes:
    head = (
        f"--{_MIXED}\r\nContent-Type: {attachment.media_type}\r\n"
        f"Content-Disposition: attachment; {file_name(attachment.name)}\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )
    return head.encode() + _lines(attachment.data) + b"\r\n"


class _Clicks:
    """Signs each link once, although it appears in the text and in the HTML part."""

    __slots__ = ("_click", "_known")

    def __init__(self, recipient: Recipient) -> None:
        self._click = recipient.click
        self._known: dict[tuple[int, str], str] = {}

    def address(self, number: int, target: str) -> str:
        known = self._known.get((number, target))
        if known is None:
            known = self._known[number, target] = self._click(number, target)
        return known


def _html(content: EmailContent, kit: ContentKit) -> str:
    html = kit.with_utm(_body(content, kit), content.utm)
    if not content.preheader:
        return html
    match = _BODY.search(html)
    place = match.end() if match else 0
    return html[:place] + _PREHEADER.format(content.preheader) + html[place:]


def _body(content: EmailContent, kit: ContentKit) -> str:
    if content.body_format is BodyFormat.BLOCKS:
        return kit.mjml(kit.blocks_mjml(content.blocks, content.style))
    # Checked first as it was written, so that an error names a line that a person can see.
    kit.template(content.body, html=True)
    return kit.mjml(content.body) if content.body_format is BodyFormat.MJML else content.body


def _with_pixel(html: str) -> str:
    ends = list(_BODY_END.finditer(html))
    place = ends[-1].start() if ends else len(html)
    return html[:place] + _PIXEL + html[place:]


def _base64(text: str) -> bytes:
    """Encode a part in lines of 76; six times as fast as quoted-printable, and never longer
    than it for texts that are not mostly ASCII."""
    data = text.encode(errors="replace")
    if b"\r" in data or b"\0" in data:
        data = data.replace(b"\0", b"").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return _lines(data.replace(b"\n", b"\r\n"))


def _lines(data: bytes) -> bytes:
    encoded = b2a_base64(data, newline=False)
    full = len(encoded) // 76
    lines = struct.unpack_from("76s" * full, encoded)
    return b"\r\n".join((*lines, encoded[full * 76 :]))
