"""A bound session: one thread reads and keeps it alive, another one submits."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from time import monotonic

from envoi.errors import PermanentProviderError, ProviderError, TemporaryProviderError
from envoi_provider_smpp.pdu import (
    Bind,
    Command,
    MalformedError,
    Pdu,
    PduReader,
    Status,
    read_id,
    status_words,
)
from envoi_provider_smpp.settings import SmppSettings
from envoi_provider_smpp.wire import LinkLostError, Wire

Deliver = Callable[["Link", Pdu], None]
"""Takes in a `deliver_sm` and sees to it that it is answered; called by the thread that reads, so
it hands on what takes long."""

_LAST_SEQUENCE = 0x7FFFFFFF
_GOODBYE_SECONDS = 1.0
_ANSWERS = (Command.SUBMIT_SM.answer, Command.GENERIC_NACK)
_OUR_LOGIN = {
    Status.ESME_RBINDFAIL,
    Status.ESME_RINVPASWD,
    Status.ESME_RINVSYSID,
    Status.ESME_RINVSYSTYP,
}


class Sequences(Iterator[int]):
    """The numbers of a session's requests, from 1 on and in the end from 1 again, for any thread.

    Unlike those of `itertools.cycle` they are not kept.
    """

    def __init__(self) -> None:
        self._count = itertools.count()

    def __next__(self) -> int:
        """The next number."""
        return 1 + next(self._count) % _LAST_SEQUENCE


class Link:
    """A session as transmitter, receiver or transceiver; any thread may use it."""

    def __init__(
        self, settings: SmppSettings, command: Command, deliver: Deliver | None = None
    ) -> None:
        """Connect and bind; raise `ProviderError` when that fails."""
        self._settings = settings
        self._deliver = deliver
        self._sequences = Sequences()
        self._reader = PduReader()
        self._changed = threading.Condition()
        self._answers: list[Pdu] = []
        self._early: list[Pdu] = []
        self._lost = ""
        self._heard = monotonic()
        self._wire = Wire(settings)
        try:
            self.greeting = self._bind(command)
        except BaseException:
            self._wire.close()
            raise
        threading.Thread(target=self._read_on, name="smpp-link", daemon=True).start()

    @property
    def lost(self) -> str:
        """Why the session is over; empty while it is not."""
        return self._lost

    def submit(self, bodies: Sequence[bytes]) -> list[int]:
        """Send messages and return their numbers; what became of them comes by `answers`."""
        pdus = [Pdu(Command.SUBMIT_SM, next(self._sequences), body=body) for body in bodies]
        self._write(b"".join(pdu.encode() for pdu in pdus))
        return [pdu.sequence for pdu in pdus]

    def answers(self, timeout: float) -> list[Pdu]:
        """Return the answers that have come, waiting so long for one; none when it is over."""
        with self._changed:
            if not self._answers and not self._lost:
                self._changed.wait(timeout)
            found, self._answers = self._answers, []
        return found

    def answer(self, pdu: Pdu, status: int) -> None:
        """Tell the centre what became of its request."""
        self._write(Pdu(Command(pdu.command).answer, pdu.sequence, status, b"\0").encode())

    def enquire(self) -> str:
        """Ask for a sign of life and return it; for tests of an account."""
        began = monotonic()
        self._write(Pdu(Command.ENQUIRE_LINK, next(self._sequences)).encode())
        with self._changed:
            self._changed.wait_for(lambda: self._heard > began or self._lost, self._patience)
        if self._heard <= began:
            self.abort("enquire_link was not answered")
            raise TemporaryProviderError("The SMPP server is silent. Try again later.")
        return f"enquire_link_resp after {1000 * (monotonic() - began):.0f} ms"

    def wait_lost(self, timeout: float) -> bool:
        """Wait until the session is over, at most so long; tell whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._lost), timeout)

    def close(self) -> None:
        """Say goodbye, without waiting long for an answer."""
        if not self._lost:
            self._write(Pdu(Command.UNBIND, next(self._sequences)).encode())
            self.wait_lost(_GOODBYE_SECONDS)
        self.abort("we closed the session")

    def abort(self, reason: str) -> None:
        """End at once."""
        with self._changed:
            self._lost = self._lost or reason
            self._changed.notify_all()
        self._wire.close()

    @property
    def _patience(self) -> float:
        return self._settings.answer_timeout

    def _bind(self, command: Command) -> str:
        password = self._settings.password.get_secret_value()
        bind = Bind(
            system_id=self._settings.system_id,
            password=password,
            system_type=self._settings.system_type,
        )
        try:
            self._wire.write(Pdu(command, next(self._sequences), body=bind.encode()).encode())
            answer = self._first_answer()
        except (LinkLostError, MalformedError) as error:
            message = "The SMPP server broke off before it let us in. Try again later."
            raise TemporaryProviderError(message, raw=str(error)) from error
        if answer.status != Status.ESME_ROK:
            raise _refusal(answer.status)
        words = status_words(answer.status)
        return f"{command.name.lower()}_resp {words}, system_id {read_id(answer.body)}"

    def _first_answer(self) -> Pdu:
        until = monotonic() + self._patience
        while monotonic() < until:
            pdus = self._reader.feed(self._wire.read(until - monotonic()))
            for place, pdu in enumerate(pdus, 1):
                if pdu.command >= Command.GENERIC_NACK:
                    # What waited for us may come in the same moment.
                    self._early = pdus[place:]
                    return pdu
        raise LinkLostError("no answer to the bind")

    def _read_on(self) -> None:
        """Read until the session is over."""
        reason = "we closed the session"
        try:
            self._take(self._early)
            while not self._lost:
                self._look_after()
                self._take(self._reader.feed(self._wire.read(self._settings.keepalive)))
        except (LinkLostError, MalformedError) as error:
            reason = str(error)
        self.abort(reason)

    def _look_after(self) -> None:
        """Ask for a sign of life after a silence, and end what has been silent twice as long."""
        silence = monotonic() - self._heard
        if silence >= 2 * self._settings.keepalive:
            raise LinkLostError("enquire_link was not answered")
        if silence >= self._settings.keepalive:
            self._wire.write(Pdu(Command.ENQUIRE_LINK, next(self._sequences)).encode())

    def _take(self, pdus: Sequence[Pdu]) -> None:
        if not pdus:
            return
        answers = [pdu for pdu in pdus if pdu.command in _ANSWERS]
        with self._changed:
            self._heard = monotonic()
            self._answers += answers
            self._changed.notify_all()
        for pdu in pdus:
            if pdu.command not in _ANSWERS:
                self._heed(pdu)

    def _heed(self, pdu: Pdu) -> None:
        """Do what the centre asks for."""
        if pdu.command == Command.DELIVER_SM and self._deliver:
            self._deliver(self, pdu)
        elif pdu.command == Command.ENQUIRE_LINK:
            self.answer(pdu, Status.ESME_ROK)
        elif pdu.command == Command.UNBIND:
            self.answer(pdu, Status.ESME_ROK)
            raise LinkLostError("the server ended the session (unbind)")
        elif pdu.command == Command.UNBIND.answer:
            raise LinkLostError("we closed the session")
        elif pdu.command < Command.GENERIC_NACK:
            nack = Pdu(Command.GENERIC_NACK, pdu.sequence, Status.ESME_RINVCMDID)
            self._wire.write(nack.encode())

    def _write(self, data: bytes) -> None:
        """Send, or end the session; who waits for answers sees that."""
        try:
            self._wire.write(data)
        except LinkLostError as error:
            self.abort(str(error))


def _refusal(status: int) -> ProviderError:
    raw = status_words(status)
    if status in _OUR_LOGIN:
        message = f"The SMPP server refuses our account: {raw}. Check user name and password."
        return PermanentProviderError(message, raw=raw)
    message = f"The SMPP server does not let us in now: {raw}. Try again later."
    return TemporaryProviderError(message, raw=raw)
