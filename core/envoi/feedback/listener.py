"""The listener: takes bounces and complaints by LMTP or SMTP, and answers once they are written.

Whoever reaches its port may connect, so all that one of them can take is bounded: places, time,
recipients, and bytes also of a line that never ends.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any

import structlog
from aiosmtpd.controller import UnthreadedController
from aiosmtpd.smtp import SMTP, Envelope, Session, syntax
from sqlalchemy.exc import SQLAlchemyError

from envoi.db import Database
from envoi.feedback.intake import Intake, sign_in
from envoi.feedback.keeping import AWAY
from envoi.feedback.models import Door
from envoi.settings import Settings

log = structlog.get_logger()

MOST_BYTES = 10 << 20
MOST_DRAINED = 4 * MOST_BYTES
"""Who goes on sending beyond the limit is read for so long, to be told, and then cut off."""
MOST_RECIPIENTS = 100
IDLE_SECONDS = 300.0
"""As long as RFC 5321 has a server wait for the next command, and for all of a message."""
SIGN_SECONDS = 15.0

_TAKEN = "250 2.6.0 Kept"
_LATER = "451 4.3.0 The database is away, try again later"
_FULL = b"421 4.3.2 Too many connections, try again later\r\n"


class Receiving:
    """Hands every message to the intake in a thread of its own, so that the others go on."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.received = False

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep a message; the name aiosmtpd asks for. LMTP wants an answer for each recipient."""
        content = envelope.content
        assert isinstance(content, bytes)
        recipients = ", ".join(envelope.rcpt_tos)
        try:
            await asyncio.to_thread(self._intake.receive, content, Door.LISTENER, recipients)
        except AWAY as error:
            log.warning("listener_waits", error=str(error), peer=session.peer)
            answer = _LATER
        else:
            self.received, answer = True, _TAKEN
        speaks_lmtp = isinstance(server, BothWays) and server.speaks_lmtp
        return "\r\n".join([answer] * (len(envelope.rcpt_tos) if speaks_lmtp else 1))


class BothWays(SMTP):
    """Speaks LMTP to those who greet with LHLO, and SMTP to all others."""

    # Bounces quote lines of any length.
    line_length_limit = 1 << 16
    speaks_lmtp = False

    def __init__(self, handler: Any, guests: set[SMTP], **options: Any) -> None:
        super().__init__(handler, **options)
        self._guests = guests
        self._drained = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place."""
        self._guests.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Leave the place to another."""
        self._guests.discard(self)
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Cut off whoever sends without end: a line is kept whole until it ends."""
        self._drained += len(data)
        if self._drained <= MOST_DRAINED:
            super().data_received(data)
        elif isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()

    @syntax("LHLO hostname")
    async def smtp_LHLO(self, arg: str) -> None:  # noqa: N802
        """The greeting of LMTP."""
        self.speaks_lmtp = True
        await self.smtp_EHLO(arg)

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        """Begin a message, and count its bytes from here."""
        self._drained = 0
        await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        """Take a recipient, as many as RFC 5321 asks for."""
        if self.envelope and len(self.envelope.rcpt_tos) >= MOST_RECIPIENTS:
            await self.push("452 4.5.3 Too many recipients")
        else:
            await super().smtp_RCPT(arg)


class _Entrance(asyncio.Protocol):
    """Lets in as many as there are places, and tells the others to come again."""

    def __init__(self, welcome: Callable[[], SMTP], has_place: Callable[[], bool]) -> None:
        self._welcome = welcome
        self._has_place = has_place

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if not self._has_place():
            log.warning("listener_full", peer=transport.get_extra_info("peername"))
            transport.write(_FULL)
            transport.close()
            return
        guest = self._welcome()
        transport.set_protocol(guest)
        guest.connection_made(transport)


class _Controller(UnthreadedController):
    def __init__(self, handler: Any, places: int, **options: Any) -> None:
        super().__init__(handler, **options)
        self._places = places
        self._guests: set[SMTP] = set()

    def factory(self) -> asyncio.Protocol:
        return _Entrance(self._welcome, lambda: len(self._guests) < self._places)

    def _welcome(self) -> SMTP:
        return BothWays(self.handler, self._guests, **self.SMTP_kwargs)


def listening_server(
    settings: Settings, receiving: Receiving, loop: AbstractEventLoop
) -> UnthreadedController:
    """Make the server; the caller begins it, runs the loop, and ends it."""
    options: dict[str, Any] = {
        "data_size_limit": MOST_BYTES,
        "decode_data": False,
        "enable_SMTPUTF8": True,
        "ident": "Envoi",
        "timeout": IDLE_SECONDS,
    }
    return _Controller(
        receiving,
        settings.inbound_connections,
        hostname=settings.inbound_host,
        port=settings.effective_inbound_port,
        loop=loop,
        **options,
    )


def keep_signed(database: Database, receiving: Receiving, stopping: threading.Event) -> None:
    """Say every few seconds that the listener lives, and whether something came."""
    while True:
        received, receiving.received = receiving.received, False
        try:
            sign_in(database, Door.LISTENER, received=received)
        except SQLAlchemyError as error:
            log.warning("listener_unsigned", error=str(error))
        if stopping.wait(SIGN_SECONDS):
            return
