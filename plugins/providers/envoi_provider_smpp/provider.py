"""The SMPP provider: accounts, and the connections by which messages leave."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import suppress

from envoi.errors import ProviderError
from envoi.types import Outgoing, Report, SendResult, SendStatus
from envoi_provider_smpp.batch import Batch
from envoi_provider_smpp.messages import UnsendableError, Writer
from envoi_provider_smpp.pdu import Command, Pdu, Status, status_words
from envoi_provider_smpp.receiver import Reporters
from envoi_provider_smpp.session import Link
from envoi_provider_smpp.settings import Binding, SmppSettings

LARGEST_BATCH = 500
_PAUSE_SECONDS = (0.05, 0.25)


class SmppProvider:
    """A configured account at a message centre."""

    def __init__(self, settings: SmppSettings) -> None:
        self._settings = settings

    def connect(self) -> SmppConnection:
        """Open a session; raise `ProviderError` when that fails."""
        return SmppConnection(self._settings)

    def test(self) -> str:
        """Open a session, ask for a sign of life, and return the centre's answers."""
        link = Link(self._settings, _sending(self._settings))
        try:
            return f"{link.greeting}\n{link.enquire()}"
        finally:
            link.close()


class SmppConnection:
    """A kept session; opens a new one by itself when a used one is over."""

    def __init__(self, settings: SmppSettings) -> None:
        self._settings = settings
        self._writer = Writer(settings)
        self._reporters: Reporters | None = None
        self._link: Link | None = self._open()

    @property
    def batch_size(self) -> int:
        """More than a window, so that it is never empty."""
        return LARGEST_BATCH

    def deliver_to(self, report: Report) -> None:
        """Be told where receipts go; before that the centre is asked to keep them."""
        self._reporters = Reporters(self._settings, report)

    def send(self, message: Outgoing) -> SendResult:
        """Hand one message over."""
        return self.send_batch([message])[0]

    def send_batch(self, messages: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Hand messages over; what breaks on the way leaves only what had no answer unknown."""
        refused: dict[int, SendResult] = {}
        written: dict[int, Sequence[bytes]] = {}
        for index, message in enumerate(messages):
            try:
                written[index] = self._writer.bodies(message)
            except UnsendableError as error:
                refused[index] = _unsendable(error)
        batch = Batch(list(written.values()))
        self._run(batch)
        told = refused | dict(zip(written, batch.results(), strict=True))
        return [told[index] for index in range(len(messages))]

    def close(self) -> None:
        """Say goodbye."""
        if self._link:
            self._link.close()
            self._link = None
        if self._reporters:
            self._reporters.close()

    def _run(self, batch: Batch) -> None:
        """Send a batch; what has not left when a session is lost goes on by another one."""
        window, patience = self._settings.window, self._settings.answer_timeout
        batch.run(self._bound(), window, patience)
        with suppress(ProviderError):
            while batch.is_left():
                # Not all at once, where a centre has cut everybody.
                time.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311 (no secret)
                batch.run(self._bound(), window, patience)

    def _bound(self) -> Link:
        if self._link is None or self._link.lost:
            self._link = self._open()
        return self._link

    def _open(self) -> Link:
        return Link(self._settings, _sending(self._settings), self._deliver)

    def _deliver(self, link: Link, pdu: Pdu) -> None:
        if self._reporters:
            self._reporters.take(link, pdu)
        else:
            link.answer(pdu, Status.ESME_RX_T_APPN)


def _sending(settings: SmppSettings) -> Command:
    separate = settings.binding is Binding.SEPARATE
    return Command.BIND_TRANSMITTER if separate else Command.BIND_TRANSCEIVER


def _unsendable(error: UnsendableError) -> SendResult:
    raw = f"{status_words(error.status)}: {error}, not sent"
    return SendResult(status=SendStatus.REFUSED, code=error.status, raw=raw)
