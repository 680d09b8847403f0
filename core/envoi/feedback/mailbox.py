"""Reads the return path's mailbox over IMAP: what is unread is taken in and marked as read."""

from __future__ import annotations

import imaplib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import structlog
from sqlalchemy.exc import SQLAlchemyError

from envoi.errors import ConfigurationError
from envoi.feedback.intake import Intake, sign_in
from envoi.feedback.models import Door

log = structlog.get_logger()

TIMEOUT = 30.0
MOST_AT_ONCE = 500
_SCHEMES = {"imaps": 993, "imap": 143, "imap+starttls": 143}


@dataclass(frozen=True, kw_only=True)
class Mailbox:
    """Where the mailbox is and who may read it."""

    scheme: str
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    folder: str


def mailbox_of(url: str) -> Mailbox:
    """Read an address such as `imaps://user:password@host/INBOX`.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _SCHEMES.get(parts.scheme, 0)
    except ValueError:
        port = 0
    if not port or not parts.hostname or not parts.username:
        raise ConfigurationError(
            "ENVOI_MAILBOX_URL is no address of a mailbox. Write"
            " imaps://user:password@host/INBOX, or imap+starttls:// in front."
        )
    return Mailbox(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port,
        user=unquote(parts.username),
        password=unquote(parts.password or ""),
        folder=unquote(parts.path.strip("/")) or "INBOX",
    )


def read_mailbox(intake: Intake, mailbox: Mailbox) -> int:
    """Take in what is unread; a message is marked as read once it is written."""
    taken = 0
    with _opened(mailbox) as connection:
        for uid in _unread(connection):
            raw = _message(connection, uid)
            if raw is not None:
                intake.receive(raw, Door.MAILBOX)
                taken += 1
            connection.uid("STORE", uid, "+FLAGS", r"(\Seen)")
    return taken


def keep_reading(
    intake: Intake, mailbox: Mailbox, seconds: float, stopping: threading.Event
) -> None:
    """Read the mailbox again and again; what troubles it is shown in Settings."""
    while True:
        trouble, taken = "", 0
        try:
            taken = read_mailbox(intake, mailbox)
        except (imaplib.IMAP4.error, OSError, SQLAlchemyError) as error:
            trouble = str(error)[:300] or type(error).__name__
            log.warning("mailbox_failed", host=mailbox.host, error=trouble)
        with suppress(SQLAlchemyError):
            sign_in(intake.database, Door.MAILBOX, received=taken > 0, trouble=trouble)
        if stopping.wait(0 if taken == MOST_AT_ONCE else seconds):
            return


@contextmanager
def _opened(mailbox: Mailbox) -> Iterator[imaplib.IMAP4]:
    connection = _connect(mailbox)
    try:
        connection.login(mailbox.user, mailbox.password)
        quoted = mailbox.folder.replace("\\", "\\\\").replace('"', '\\"')
        status, answer = connection.select(f'"{quoted}"')
        if status != "OK":
            raise imaplib.IMAP4.error(f"The folder {mailbox.folder} cannot be opened: {answer!r}")
        yield connection
    finally:
        with suppress(imaplib.IMAP4.error, OSError):
            connection.logout()


def _connect(mailbox: Mailbox) -> imaplib.IMAP4:
    if mailbox.scheme == "imaps":
        context = ssl.create_default_context()
        return imaplib.IMAP4_SSL(mailbox.host, mailbox.port, ssl_context=context, timeout=TIMEOUT)
    connection = imaplib.IMAP4(mailbox.host, mailbox.port, timeout=TIMEOUT)
    if mailbox.scheme == "imap+starttls":
        connection.starttls(ssl.create_default_context())
    return connection


def _unread(connection: imaplib.IMAP4) -> list[str]:
    _, answer = connection.uid("SEARCH", "UNSEEN")
    found = answer[0].decode("ascii").split() if answer and answer[0] else []
    return found[:MOST_AT_ONCE]


def _message(connection: imaplib.IMAP4, uid: str) -> bytes | None:
    """The message, or None when it has gone meanwhile."""
    _, answer = connection.uid("FETCH", uid, "(BODY.PEEK[])")
    return next((part[1] for part in answer if isinstance(part, tuple)), None)
