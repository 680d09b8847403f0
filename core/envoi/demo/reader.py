"""What a reader does with an email of the demo's mailbox, as far as their phone tells anybody."""

from __future__ import annotations

import re
import smtplib
from collections.abc import Sequence
from contextlib import closing
from html import unescape

from envoi.demo.mailbox import MailboxMessage
from envoi.demo.phone import Act
from envoi.errors import ConflictError, EnvoiError
from envoi.outgoing import HttpClient
from envoi.settings import Settings
from envoi.tracking.tokens import TokenKind
from envoi.tracking.urls import PATHS


class ListenerAwayError(EnvoiError):
    """The process that takes bounces gives no answer."""


AGENT = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/140.0 Mobile"
SECONDS = 5.0

_BOUNCE = """\
From: Mail Delivery System <>
To: {sender}
Subject: Undelivered mail
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="bounced"

--bounced
Content-Type: text/plain; charset=utf-8

<{recipient}>: 550 5.1.1 There is no such mailbox
--bounced
Content-Type: message/delivery-status

Reporting-MTA: dns; mailbox.test

Final-Recipient: rfc822; {recipient}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 There is no such mailbox
--bounced
Content-Type: text/rfc822-headers

Message-ID: {message_id}
--bounced--
"""


def can_be(settings: Settings, message: MailboxMessage) -> Sequence[Act]:
    """Say what can become of an email."""
    found = [
        (Act.READ, _address(settings, message, TokenKind.OPEN)),
        (Act.TAP, _address(settings, message, TokenKind.CLICK)),
        (Act.FAIL, message.envelope_sender),
    ]
    return [act for act, is_possible in found if is_possible]


def act_on(settings: Settings, message: MailboxMessage, act: Act) -> None:
    """Read an email, tap its first link, or let it bounce.

    Raises:
        ConflictError: It has nothing of the kind.
    """
    if act not in can_be(settings, message):
        raise ConflictError("This email has nothing that could tell it.")
    if act is Act.FAIL:
        _bounce(settings, message)
        return
    open_as_a_phone(_address(settings, message, TokenKind.OPEN))
    if act is Act.TAP:
        open_as_a_phone(_address(settings, message, TokenKind.CLICK))


def open_as_a_phone(url: str) -> None:
    """Fetch a tracked address as a phone does; the target stays unopened."""
    with closing(HttpClient(timeout=SECONDS)) as client:
        client.request("GET", url, headers={"User-Agent": AGENT})


def _address(settings: Settings, message: MailboxMessage, kind: TokenKind) -> str:
    """The first tracked address of a kind in the email, or nothing."""
    start = re.escape(f"{settings.links_url}{PATHS[kind]}")
    found = re.search(rf'"({start}[^"]+)"', message.html)
    return unescape(found[1]) if found else ""


def _bounce(settings: Settings, message: MailboxMessage) -> None:
    """Tell our listener as another mail server would."""
    headers = dict(message.headers)
    text = _BOUNCE.format(
        sender=message.envelope_sender,
        recipient=message.entry.to,
        message_id=headers.get("Message-ID", ""),
    )
    place = (settings.inbound_host, settings.effective_inbound_port)
    try:
        with smtplib.SMTP(*place, timeout=SECONDS) as smtp:
            smtp.sendmail("", [message.envelope_sender], text.encode())
    except (OSError, smtplib.SMTPException) as error:
        raise ListenerAwayError(
            "The listener for bounces gives no answer. It starts with `make run`; look at its"
            " output."
        ) from error
