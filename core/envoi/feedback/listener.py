"""The listener: takes bounces and complaints by LMTP or SMTP, and answers once they are written."""

from __future__ import annotations

import asyncio
import threading
from asyncio import AbstractEventLoop
from typing import Any

import structlog
from aiosmtpd.controller import UnthreadedController
from aiosmtpd.smtp import SMTP, Envelope, Session, syntax
from sqlalchemy.exc import SQLAlchemyError

from envoi.db import Database
from envoi.feedback.intake import AWAY, Intake, sign_in
from envoi.feedback.models import Door
from envoi.settings import Settings

log = structlog.get_logger()

MOST_BYTES = 10 << 20
SIGN_SECONDS = 15.0

_TAKEN = "250 2.6.0 Kept"
_LATER = "451 4.3.0 The database is away, try again later"


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

    @syntax("LHLO hostname")
    async def smtp_LHLO(self, arg: str) -> None:  # noqa: N802
        """The greeting of LMTP."""
        self.speaks_lmtp = True
        await self.smtp_EHLO(arg)


class _Controller(UnthreadedController):
    def factory(self) -> SMTP:
        return BothWays(self.handler, **self.SMTP_kwargs)


def listening_server(
    settings: Settings, receiving: Receiving, loop: AbstractEventLoop
) -> UnthreadedController:
    """Make the server; the caller begins it, runs the loop, and ends it."""
    options: dict[str, Any] = {
        "data_size_limit": MOST_BYTES,
        "decode_data": False,
        "enable_SMTPUTF8": True,
        "ident": "Envoi",
    }
    return _Controller(
        receiving,
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
