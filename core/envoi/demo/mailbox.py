"""A local SMTP server that keeps every message in a folder, and the reading of that folder.

Nothing leaves the installation: it stands in for the mailboxes of the demo's customers.
"""

from __future__ import annotations

import email
import email.policy
import itertools
import re
import time
from asyncio import AbstractEventLoop
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.controller import UnthreadedController
from aiosmtpd.smtp import SMTP, Envelope, Session

from envoi.errors import NotFoundError
from envoi.settings import Settings

KEPT = 20_000
"""Messages kept; older ones are removed when the server starts."""

_ID = re.compile(r"[0-9]{20}-[0-9]{6,20}")


@dataclass(frozen=True, kw_only=True)
class MailboxEntry:
    """One message of the mailbox, as a list shows it."""

    id: str
    to: str
    sender: str
    subject: str
    received_at: datetime


@dataclass(frozen=True, kw_only=True)
class MailboxMessage:
    """One message, opened."""

    entry: MailboxEntry
    html: str
    text: str
    headers: tuple[tuple[str, str], ...]
    envelope_sender: str = ""
    """Where it would come back to."""


class KeepingHandler:
    """Writes each accepted message to a file of its own before it is answered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802, ARG002
        """Keep a message; the name aiosmtpd asks for."""
        name = f"{time.time_ns():020d}-{next(self._numbers):06d}.eml"
        content = envelope.content
        assert isinstance(content, bytes)
        part = self._folder / f".{name}"
        ways = f"X-Envelope-To: {', '.join(envelope.rcpt_tos)}\r\n"
        ways += f"X-Envelope-From: {envelope.mail_from or ''}\r\n"
        part.write_bytes(ways.encode() + content)
        part.rename(self._folder / name)
        return "250 2.0.0 kept"


def mailbox_folder(settings: Settings) -> Path:
    """Return the folder of the demo's mailbox, made if need be."""
    folder = settings.data_dir / "mailbox"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def mailbox_server(settings: Settings, loop: AbstractEventLoop) -> UnthreadedController:
    """Make the SMTP server; the caller begins it, runs the loop, and ends it."""
    folder = mailbox_folder(settings)
    for old in sorted(folder.glob("*.eml"))[:-KEPT]:
        old.unlink()
    return UnthreadedController(
        KeepingHandler(folder),
        hostname="127.0.0.1",
        port=settings.effective_smtp_port,
        loop=loop,
        data_size_limit=32 << 20,
        decode_data=False,
        enable_SMTPUTF8=True,
    )


def list_messages(folder: Path, wanted: str = "", limit: int = 50) -> list[MailboxEntry]:
    """List the newest messages whose recipient or subject holds the wanted text."""
    wanted = wanted.strip().lower()
    found = (_entry(path) for path in _newest(folder))
    matching = (e for e in found if wanted in e.to.lower() or wanted in e.subject.lower())
    return list(itertools.islice(matching, limit))


def count_messages(folder: Path) -> int:
    """Count the messages kept."""
    return sum(1 for _ in folder.glob("*.eml"))


def read_message(folder: Path, message_id: str) -> MailboxMessage:
    """Open one message, or raise `NotFoundError`."""
    path = folder / f"{message_id}.eml"
    if not _ID.fullmatch(message_id) or not path.is_file():
        raise NotFoundError("There is no such message in the mailbox.")
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return MailboxMessage(
        entry=_entry(path),
        html=_part(message, "html"),
        text=_part(message, "plain"),
        headers=tuple((name, str(value)) for name, value in message.items()),
        envelope_sender=str(message.get("X-Envelope-From", "")),
    )


def _newest(folder: Path) -> Iterator[Path]:
    return iter(sorted(folder.glob("*.eml"), reverse=True))


def _entry(path: Path) -> MailboxEntry:
    with path.open("rb") as file:
        head = file.read(16_384).split(b"\r\n\r\n", 1)[0]
    headers = email.message_from_bytes(head, policy=email.policy.default)
    received = int(path.name.split("-", 1)[0]) / 1e9
    return MailboxEntry(
        id=path.stem,
        to=str(headers.get("X-Envelope-To", headers.get("To", ""))),
        sender=str(headers.get("From", "")),
        subject=str(headers.get("Subject", "")),
        received_at=datetime.fromtimestamp(received, UTC),
    )


def _part(message: EmailMessage, subtype: str) -> str:
    part = message.get_body(preferencelist=(subtype,))
    return str(part.get_content()) if part is not None else ""
