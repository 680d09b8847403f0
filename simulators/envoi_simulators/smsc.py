"""A message centre that speaks SMPP 3.4, with the faults of real ones on demand."""

from __future__ import annotations

import asyncio
import itertools
import ssl
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic, time_ns
from types import TracebackType
from typing import Self

from envoi import gsm
from envoi.demo.services import Conduct, Fault
from envoi_provider_smpp.pdu import (
    UDH,
    Address,
    Bind,
    Command,
    MalformedError,
    Pdu,
    PduReader,
    ShortMessage,
    Status,
    Tag,
    cstring,
)
from envoi_simulators.conduct import HANG_SECONDS, Pace, happens
from envoi_simulators.phone import Phone
from envoi_simulators.smsc_receipts import Receipt, receipt_body

MOST_UNANSWERED = 100
AGAIN_SECONDS = 0.5
_RECEIVING = (Command.BIND_RECEIVER, Command.BIND_TRANSCEIVER)
_BINDS = (*_RECEIVING, Command.BIND_TRANSMITTER)
_PHONE_STATES = {"delivered": "DELIVRD", "failed": "UNDELIV"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """A message that the centre has taken: `number` counts them from 1."""

    number: int
    message_id: str
    system_id: str
    message: ShortMessage
    at: float

    @property
    def address(self) -> str:
        """The phone that it is for."""
        return f"+{self.message.destination.text}"

    @property
    def part(self) -> tuple[int, int, int]:
        """The reference of its text, how many parts that has, and which one this is."""
        tlvs, data = self.message.tlvs, self.message.text
        if self.message.esm_class & UDH:
            return data[3], data[4], data[5]
        if Tag.SAR_MSG_REF_NUM in tlvs:
            numbers = (Tag.SAR_MSG_REF_NUM, Tag.SAR_TOTAL_SEGMENTS, Tag.SAR_SEGMENT_SEQNUM)
            reference, total, number = (int.from_bytes(tlvs[tag]) for tag in numbers)
            return reference, total, number
        return 0, 1, 1

    @property
    def text(self) -> str:
        """What it says, without a header."""
        data = self.message.text
        if self.message.esm_class & UDH:
            data = data[data[0] + 1 :]
        return gsm.text_of(data, self.message.coding)


@dataclass(kw_only=True)
class Faults:
    """What the centre does that it should not; may be changed while it runs.

    `per_second` is what an account may submit, `window` how many unanswered; `cut_at` are the
    numbers of messages after which the session is cut, and `cut_share` how often it is cut by
    chance; `status` gives the answer to a message, 0 to take it.
    """

    per_second: int = 0
    window: int = 0
    answer_seconds: float = 0.0
    cut_at: set[int] = field(default_factory=set)
    cut_share: float = 0.0
    status: Callable[[ShortMessage], int] = lambda message: Status.ESME_ROK  # noqa: ARG005
    bind_status: int = Status.ESME_ROK
    is_silent: bool = False
    babbles: bool = False


def no_receipt(taken: Taken) -> Sequence[Receipt]:  # noqa: ARG001 (what `Smsc` asks)
    """What a centre that reports nothing answers."""
    return ()


class Smsc:
    """The centre; a context manager.

    Args:
        accounts: Passwords by user name; everybody is let in without.
        receipts: Asked for each message that is taken, where no phone decides.
        phone: Where messages arrive, whole; it decides what becomes of them.
        decimal_ids: Numbers are answered in decimal, and in hexadecimal without.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        accounts: Mapping[str, str] | None = None,
        receipts: Callable[[Taken], Sequence[Receipt]] = no_receipt,
        phone: Phone | None = None,
        decimal_ids: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.port = port
        self.accounts = accounts
        self.faults = Faults()
        self.taken: list[Taken] = []
        self.statuses: list[tuple[float, int]] = []
        self.cuts: list[float] = []
        self.binds: list[tuple[float, Command]] = []
        self._receipts, self._phone = receipts, phone
        self._decimal_ids, self._tls = decimal_ids, tls
        # A centre that is started again gives no number twice.
        self._ids = itertools.count(time_ns() // 1_000_000)
        self._pace = Pace()
        self._sessions: list[_Session] = []
        self._waiting: deque[bytes] = deque()
        self._texts: dict[tuple[str, str, int, int], dict[int, Taken]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smsc", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; `port` tells where."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def stop(self) -> None:
        """Cut all sessions and listen no more."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def behave(self, conduct: Conduct) -> None:
        """Begin to make the mistakes that somebody has chosen."""
        share = conduct.share / 100

        def answered(status: Status) -> Faults:
            return Faults(status=lambda _: status if happens(share) else Status.ESME_ROK)

        self.faults = {
            Fault.NONE: Faults(),
            Fault.THROTTLED: Faults(per_second=conduct.per_second),
            Fault.REFUSED: answered(Status.ESME_RINVDSTADR),
            Fault.HANGING: Faults(answer_seconds=HANG_SECONDS),
            Fault.CUT: Faults(cut_share=share),
            Fault.BROKEN: answered(Status.ESME_RSYSERR),
            Fault.NOT_JSON: Faults(babbles=True),
        }[conduct.fault]

    def cut(self) -> None:
        """Cut all sessions."""
        self._loop.call_soon_threadsafe(self._cut)

    def deliver(self, body: bytes) -> None:
        """Deliver something to the account."""
        self._loop.call_soon_threadsafe(self._queue, body)

    @property
    def undelivered(self) -> int:
        """Receipts that nobody has taken yet."""
        return len(self._waiting) + sum(len(s.delivering) for s in self._sessions)

    async def _listen(self) -> None:
        self._server = await self._loop.create_server(
            lambda: _Session(self), "127.0.0.1", self.port, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        self._cut()
        await asyncio.sleep(0)
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()

    def _cut(self) -> None:
        for session in list(self._sessions):
            session.transport.abort()

    def enter(self, session: _Session) -> None:
        """Note a session that was let in."""
        self._sessions.append(session)
        self._pump()

    def leave(self, session: _Session) -> None:
        """Forget a session; what it was delivering is delivered again."""
        if session in self._sessions:
            self._sessions.remove(session)
        self._waiting.extend(session.delivering.values())
        session.delivering.clear()
        self._pump()

    def again(self, body: bytes) -> None:
        """Deliver later what was not taken now."""
        self._loop.call_later(AGAIN_SECONDS, self._queue, body)

    def judge(self, message: ShortMessage, unanswered: int) -> int:
        """Say how a message is answered."""
        faults = self.faults
        status = int(faults.status(message))
        if faults.window and unanswered > faults.window:
            status = Status.ESME_RMSGQFUL
        elif not status and self._pace.is_exceeded(faults.per_second):
            status = Status.ESME_RTHROTTLED
        self.statuses.append((monotonic(), status))
        return status

    def take(self, session: _Session, message: ShortMessage) -> Taken:
        """Take a message; its receipts follow."""
        number = next(self._ids)
        message_id = str(number) if self._decimal_ids else f"{number:x}"
        taken = Taken(
            number=len(self.taken) + 1,
            message_id=message_id,
            system_id=session.system_id,
            message=message,
            at=monotonic(),
        )
        self.taken.append(taken)
        if self._phone:
            self._arrive(self._phone, taken)
        for receipt in self._receipts(taken):
            body = _receipt_for(taken, receipt)
            for _ in range(receipt.times):
                if receipt.is_early:
                    self._queue(body)
                else:
                    wait = self.faults.answer_seconds + receipt.seconds
                    self._loop.call_later(wait, self._queue, body)
        return taken

    def cuts_after(self, taken: Taken) -> bool:
        """Whether the session is cut instead of an answer."""
        faults = self.faults
        is_cut = taken.number in faults.cut_at or happens(faults.cut_share)
        if is_cut:
            self.cuts.append(taken.at)
        return is_cut

    def _queue(self, body: bytes) -> None:
        self._waiting.append(body)
        self._pump()

    def _pump(self) -> None:
        """Deliver what waits to sessions that receive."""
        for session in self._sessions:
            if session.command in _RECEIVING:
                while self._waiting and len(session.delivering) < MOST_UNANSWERED:
                    session.deliver(self._waiting.popleft())

    def _arrive(self, phone: Phone, taken: Taken) -> None:
        """Let a text arrive when all parts of it are there."""
        reference, total, number = taken.part
        sender = taken.message.source.text
        key = (taken.address, sender, reference, total)
        parts = self._texts.setdefault(key, {})
        parts[number] = taken
        if len(parts) < total:
            return
        del self._texts[key]
        together = [parts[each] for each in sorted(parts)]
        phone.arrive(
            channel="sms",
            address=taken.address,
            sender=sender,
            text="".join(each.text for each in together),
            parts=total,
            report=lambda what: self._report(together, what),
            reply=lambda text: self.reply(taken, text),
        )

    def reply(self, taken: Taken, text: str) -> None:
        """Deliver what a person answers to the sender of a message."""
        parts = gsm.parts(text)
        message = ShortMessage(
            source=taken.message.destination,
            destination=taken.message.source,
            text=b"".join(part.data for part in parts),
            coding=parts[0].coding,
        )
        self.deliver(message.encode())

    def _report(self, parts: Sequence[Taken], what: str) -> None:
        """Send receipts for what a phone tells; an SMS knows neither reading nor tapping."""
        if what in _PHONE_STATES:
            for taken in parts:
                self.deliver(_receipt_for(taken, Receipt(state=_PHONE_STATES[what])))


def _receipt_for(taken: Taken, receipt: Receipt) -> bytes:
    sender, recipient = taken.message.source, taken.message.destination
    return receipt_body(receipt, taken.message_id, Address(sender.text, 0, 0), recipient)


class _Session(asyncio.Protocol):
    """One session with an account."""

    transport: asyncio.Transport

    def __init__(self, smsc: Smsc) -> None:
        self._smsc = smsc
        self._reader = PduReader()
        self._sequences = itertools.count(1)
        self._unanswered = 0
        self.command: int = 0
        self.system_id = ""
        self.delivering: dict[int, bytes] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's)
        self._smsc.leave(self)

    def data_received(self, data: bytes) -> None:
        if self._smsc.faults.babbles:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        try:
            pdus = self._reader.feed(data)
            # Nothing more is taken after a cut.
            answers = [self._answer(pdu) for pdu in pdus if not self.transport.is_closing()]
        except MalformedError:
            self.transport.abort()
            return
        self._write(b"".join(answers))

    def deliver(self, body: bytes) -> None:
        """Deliver something; it is kept until it is answered."""
        sequence = next(self._sequences)
        self.delivering[sequence] = body
        self._write(Pdu(Command.DELIVER_SM, sequence, body=body).encode())

    def _answer(self, pdu: Pdu) -> bytes:
        if pdu.command == Command.SUBMIT_SM:
            return self._submitted(pdu)
        if pdu.command in _BINDS:
            return self._bound(pdu)
        if pdu.command == Command.DELIVER_SM.answer:
            body = self.delivering.pop(pdu.sequence, None)
            if pdu.status and body is not None:
                self._smsc.again(body)
            self._smsc._pump()
        elif pdu.command == Command.ENQUIRE_LINK and not self._smsc.faults.is_silent:
            return Pdu(Command.ENQUIRE_LINK.answer, pdu.sequence).encode()
        elif pdu.command == Command.UNBIND:
            self._write(Pdu(Command.UNBIND.answer, pdu.sequence).encode())
            self.transport.close()
        return b""

    def _bound(self, pdu: Pdu) -> bytes:
        bind = Bind.decode(pdu.body)
        command = Command(pdu.command)
        status = int(self._smsc.faults.bind_status)
        if self._smsc.accounts is not None:
            known = self._smsc.accounts.get(bind.system_id)
            if known is None:
                status = Status.ESME_RINVSYSID
            elif known != bind.password:
                status = Status.ESME_RINVPASWD
        if not status:
            self.command, self.system_id = command, bind.system_id
            self._smsc.binds.append((monotonic(), command))
            # Nothing is delivered before the answer.
            asyncio.get_running_loop().call_soon(self._smsc.enter, self)
        return Pdu(command.answer, pdu.sequence, status, cstring("envoi-smsc")).encode()

    def _submitted(self, pdu: Pdu) -> bytes:
        if not self.command or self.command == Command.BIND_RECEIVER:
            return self._refusal(pdu, Status.ESME_RINVBNDSTS)
        message = ShortMessage.decode(pdu.body)
        self._unanswered += 1
        status = self._smsc.judge(message, self._unanswered)
        if status:
            return self._later(self._refusal(pdu, status))
        taken = self._smsc.take(self, message)
        if self._smsc.cuts_after(taken):
            self.transport.abort()
        body = cstring(taken.message_id)
        return self._later(Pdu(Command.SUBMIT_SM.answer, pdu.sequence, 0, body).encode())

    def _refusal(self, pdu: Pdu, status: int) -> bytes:
        return Pdu(Command(pdu.command).answer, pdu.sequence, status).encode()

    def _later(self, answer: bytes) -> bytes:
        """Answer now, or after the time that the faults ask for."""
        wait = self._smsc.faults.answer_seconds
        if wait:
            asyncio.get_running_loop().call_later(wait, self._write_answer, answer)
            return b""
        self._unanswered -= 1
        return answer

    def _write_answer(self, answer: bytes) -> None:
        self._unanswered -= 1
        self._write(answer)

    def _write(self, data: bytes) -> None:
        if data and not self.transport.is_closing():
            self.transport.write(data)
