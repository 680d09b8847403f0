"""Receipts on their way in: a session of their own, and who takes them to the product."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

from envoi.errors import ProviderError
from envoi.types import DeliveryEvent, EventType, Report
from envoi_provider_smpp.pdu import Command, MalformedError, Pdu, ShortMessage, Status
from envoi_provider_smpp.receipts import event_of
from envoi_provider_smpp.session import Link
from envoi_provider_smpp.settings import Binding, SmppSettings

REPORTERS = 4
MOST_WAITING = 1_000
"""Receipts taken from the wire and not yet written; the centre has to wait then."""

_PAUSE_SECONDS = (0.2, 1.0)
_LOOK_SECONDS = 0.2


class Reporters:
    """Threads that report receipts; one is answered when the product has written it."""

    def __init__(self, settings: SmppSettings, report: Report) -> None:
        self._settings = settings
        self._report = report
        self._threads = ThreadPoolExecutor(REPORTERS, thread_name_prefix="smpp-receipts")
        self._failure: BaseException | None = None
        self._room = threading.BoundedSemaphore(MOST_WAITING)

    def take(self, link: Link, pdu: Pdu) -> None:
        """Take a `deliver_sm` in; waits while too many are being written."""
        self._room.acquire()
        future = self._threads.submit(self._write, link, pdu)
        future.add_done_callback(lambda done: self._look(done, link))

    def check(self) -> None:
        """Raise what a report has failed with that has nothing to do with it."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Finish what has been taken in."""
        self._threads.shutdown()

    def _write(self, link: Link, pdu: Pdu) -> None:
        status = Status.ESME_RX_T_APPN
        try:
            self._report(self._event(pdu), pdu.body)
            status = Status.ESME_ROK
        except ProviderError:
            # The centre delivers it again.
            status = Status.ESME_RX_T_APPN
        finally:
            self._room.release()
            link.answer(pdu, status)

    def _look(self, done: Future[None], link: Link) -> None:
        """End the session when a report fails in a way that nobody foresaw; somebody sees it."""
        if error := done.exception():
            self._failure = error
            link.abort(repr(error))

    def _event(self, pdu: Pdu) -> DeliveryEvent:
        try:
            message = ShortMessage.decode(pdu.body)
            return event_of(message, self._settings.clock, self._settings.alphabet)
        except MalformedError as error:
            # Refused, it would come for ever; a person can read what it was.
            now = datetime.now(UTC)
            return DeliveryEvent(type=EventType.UNKNOWN, occurred_at=now, raw=str(error))


def receive(settings: SmppSettings, report: Report, should_stop: Callable[[], bool]) -> None:
    """Hold a session by which receipts come until asked to stop; one that is lost is opened again.

    Raises:
        ProviderError: The centre lets nobody in.
    """
    separate = settings.binding is Binding.SEPARATE
    command = Command.BIND_RECEIVER if separate else Command.BIND_TRANSCEIVER
    reporters = Reporters(settings, report)
    try:
        while not should_stop():
            _hold(Link(settings, command, reporters.take), should_stop)
            reporters.check()
    finally:
        reporters.close()


def _hold(link: Link, should_stop: Callable[[], bool]) -> None:
    while not should_stop():
        if link.wait_lost(_LOOK_SECONDS):
            # Not all at once, where a centre has cut everybody.
            time.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311 (no secret)
            return
    link.close()
