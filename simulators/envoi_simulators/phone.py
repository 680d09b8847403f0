"""The phones of the demo's customers: what arrived, what became of it, and how they answer."""

from __future__ import annotations

import heapq
import itertools
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from time import monotonic
from typing import Any
from uuid import uuid4

import structlog

from envoi.demo.phone import Act, Answer, Arrival, Happened, Manners, Memory
from envoi.demo.services import Conduct, Service

log = structlog.get_logger()

KEPT = 20_000
"""Messages kept; the oldest are forgotten."""

DELIVERY_SECONDS = 1.5
READ_SECONDS = 3.0
REPORTERS = 8

SHARE_WITHOUT_VIBER = 30
SHARE_UNREACHABLE = 3
"""Per cent of the phones that nobody has changed, by their address: always the same ones."""

_STEPS = {Act.DELIVER: "delivered", Act.READ: "read", Act.TAP: "tapped", Act.FAIL: "failed"}
_ADDRESS = re.compile(r"https?://\S+")
_BEFORE = {"read": ("delivered",), "tapped": ("delivered", "read")}
"""What has happened before as a matter of course."""


@dataclass
class _Message:
    arrival: Arrival
    report: Callable[[str], None] | None = None
    reply: Callable[[str], None] | None = None
    happened: dict[str, datetime] = field(default_factory=dict)

    def seen(self) -> Arrival:
        happened = [Happened(what=what, at=at) for what, at in self.happened.items()]
        news = {"happened": happened, "can": list(self.can()), "takes_reply": bool(self.reply)}
        return self.arrival.model_copy(update=news)

    def can(self) -> Collection[Act]:
        if self.report is None or "failed" in self.happened:
            return ()
        acts = [act for act, what in _STEPS.items() if what not in self.happened]
        if not self.link:
            acts = [act for act in acts if act is not Act.TAP]
        if self.arrival.channel == "sms":
            acts = [act for act in acts if act is not Act.READ]
        if "delivered" in self.happened:
            return [act for act in acts if act is not Act.FAIL]
        return acts if "silent" in self.happened else [*acts, Act.SAY_NOTHING]

    @property
    def link(self) -> str:
        """What a tap opens: the link of the message, or the first address in the text of an SMS."""
        fields = self.arrival.fields
        if self.arrival.channel == "sms":
            found = _ADDRESS.search(self.arrival.text)
            return found[0] if found else ""
        return str(fields.get("url") or fields.get("link") or "")


class Phone:
    """All phones together; used by any number of threads.

    Args:
        answer: What phones do that nobody has changed.
        tap: Opens a link as a phone would, so that it is tracked.
    """

    def __init__(
        self, answer: Answer = Answer.DELIVER, tap: Callable[[str], None] | None = None
    ) -> None:
        self._answer, self._tap = answer, tap
        self._lock = threading.Condition()
        self._messages: OrderedDict[str, _Message] = OrderedDict()
        self._manners: dict[str, Manners] = {}
        self._due: list[tuple[float, int, str, Act]] = []
        self._numbers = itertools.count()
        self._stopping = False
        self._reporters = ThreadPoolExecutor(REPORTERS, thread_name_prefix="phone")
        self._clock = threading.Thread(target=self._keep_time, name="phone-clock", daemon=True)
        self._clock.start()

    def close(self) -> None:
        """Do nothing more by itself."""
        with self._lock:
            self._stopping = True
            self._lock.notify()
        self._clock.join()
        self._reporters.shutdown(cancel_futures=True)

    def arrive(
        self,
        *,
        channel: str,
        address: str,
        report: Callable[[str], None],
        sender: str = "",
        text: str = "",
        fields: Mapping[str, Any] | None = None,
        parts: int = 1,
        reply: Callable[[str], None] | None = None,
    ) -> str:
        """Take a message in, and return its number.

        Args:
            report: Called with "delivered", "read", "tapped" or "failed", each once at most and
                from another thread; the simulator tells the product in its provider's own way.
            reply: Called with what a person answers, where the service passes answers on.
        """
        arrival = Arrival(
            id=uuid4().hex,
            channel=channel,
            address=address,
            sender=sender,
            text=text,
            fields=dict(fields or {}),
            parts=parts,
            arrived_at=datetime.now(UTC),
        )
        with self._lock:
            self._messages[arrival.id] = _Message(arrival, report, reply)
            while len(self._messages) > KEPT:
                self._messages.popitem(last=False)
            self._plan(arrival)
        return arrival.id

    def newest(self, limit: int) -> list[Arrival]:
        """Return the newest message of each address."""
        with self._lock:
            found: dict[str, Arrival] = {}
            for message in reversed(self._messages.values()):
                found.setdefault(message.arrival.address, message.seen())
                if len(found) >= limit:
                    break
        return list(found.values())

    def messages(self, addresses: Collection[str], limit: int) -> list[Arrival]:
        """Return the newest messages to some addresses."""
        with self._lock:
            mine = (m for m in reversed(self._messages.values()) if m.arrival.address in addresses)
            return [message.seen() for message in itertools.islice(mine, limit)]

    def act(self, arrival_id: str, act: Act) -> Arrival | None:
        """Do something with a message; None when it cannot be done.

        Raises:
            KeyError: There is no such message.
        """
        with self._lock:
            message = self._messages[arrival_id]
            if act not in message.can():
                return None
            reports = self._happen(message, act)
            seen = message.seen()
        self._tell(message, reports)
        return seen

    def answer(self, arrival_id: str, text: str) -> bool:
        """Answer a message; tell whether its service passes that on.

        Raises:
            KeyError: There is no such message.
        """
        with self._lock:
            message = self._messages[arrival_id]
            if message.reply is None:
                return False
            message.arrival = message.arrival.model_copy(
                update={"replies": [*message.arrival.replies, text]}
            )
        self._reporters.submit(message.reply, text)
        return True

    def remembered(self, limit: int, conducts: Mapping[Service, Conduct]) -> Memory:
        """Return what is to be known after a new start: the newest messages, and all manners."""
        with self._lock:
            newest = list(itertools.islice(reversed(self._messages.values()), limit))
            arrivals = [message.seen() for message in reversed(newest)]
            return Memory(arrivals=arrivals, manners=dict(self._manners), conducts=dict(conducts))

    def remember(self, memory: Memory) -> None:
        """Know what was known before; what arrived then can be looked at, and no more."""
        with self._lock:
            self._manners |= memory.manners
            for arrival in memory.arrivals:
                happened = {each.what: each.at for each in arrival.happened}
                self._messages[arrival.id] = _Message(arrival, happened=happened)

    def manners(self, address: str) -> Manners:
        """Say how a phone answers: as somebody has chosen, or by its address."""
        if chosen := self._manners.get(address):
            return chosen
        return Manners(
            answer=self._answer, has_viber=_draw(address, "viber") >= SHARE_WITHOUT_VIBER
        )

    def set_manners(self, address: str, manners: Manners) -> None:
        """Choose how a phone answers from now on."""
        self._manners[address] = manners

    def _plan(self, arrival: Arrival) -> None:
        """Note what the phone will do by itself with a new message."""
        manners = self.manners(arrival.address)
        is_chosen = arrival.address in self._manners
        has_failed = arrival.channel == "viber" and not manners.has_viber
        has_failed |= not is_chosen and _draw(arrival.address, "reach") < SHARE_UNREACHABLE
        if has_failed:
            self._later(DELIVERY_SECONDS, arrival.id, Act.FAIL)
        elif manners.answer is not Answer.WAIT:
            self._later(DELIVERY_SECONDS, arrival.id, Act.DELIVER)
            if manners.answer is Answer.READ:
                self._later(READ_SECONDS, arrival.id, Act.READ)

    def _later(self, seconds: float, arrival_id: str, act: Act) -> None:
        heapq.heappush(self._due, (monotonic() + seconds, next(self._numbers), arrival_id, act))
        self._lock.notify()

    def _keep_time(self) -> None:
        while (due := self._next_due()) is not None:
            arrival_id, act = due
            try:
                self.act(arrival_id, act)
            except KeyError:
                continue

    def _next_due(self) -> tuple[str, Act] | None:
        with self._lock:
            while not self._stopping:
                wait = self._due[0][0] - monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    _, _, arrival_id, act = heapq.heappop(self._due)
                    return arrival_id, act
                self._lock.wait(wait)
        return None

    @staticmethod
    def _happen(message: _Message, act: Act) -> list[str]:
        """Write down what happens, with what goes before it; return what is to be reported."""
        if act is Act.SAY_NOTHING:
            message.happened["silent"] = datetime.now(UTC)
            return []
        what = _STEPS[act]
        steps = [*_BEFORE.get(what, ()), what]
        if message.arrival.channel == "sms":
            steps = [each for each in steps if each != "read"]
        new = [each for each in steps if each not in message.happened]
        message.happened |= dict.fromkeys(new, datetime.now(UTC))
        return new

    def _tell(self, message: _Message, reports: list[str]) -> None:
        # Whoever carries an SMS sees no more of it than whether it arrives.
        is_sms = message.arrival.channel == "sms"
        told = [what for what in reports if not is_sms or what != "tapped"]

        def tell() -> None:
            for what in told:
                try:
                    assert message.report
                    message.report(what)
                except Exception as error:  # noqa: BLE001 (a product that is away harms no phone)
                    log.warning("report_failed", what=what, error=repr(error))
            if self._tap and "tapped" in reports:
                self._tap(message.link)

        if reports:
            self._reporters.submit(tell)


def _draw(address: str, what: str) -> int:
    """A number below 100 that is always the same for an address."""
    return int.from_bytes(sha256(f"{what}:{address}".encode()).digest()[:4]) % 100
