"""Lets the messages of a block go when the limits of gateway and domain allow it."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep

from envoi.delivery.buckets import Bucket, Buckets
from envoi.delivery.claim import ClaimedMessage
from envoi.delivery.recipients import Person
from envoi.delivery.sender import live_senders
from envoi.delivery.tempo import Tempo
from envoi.installation import Installation

GOOD_SECONDS = 0.03
"""A slot not used so soon is given up, so that what is late never leaves together."""
PATIENCE_SECONDS = 1.0
"""Who would wait longer for a gateway gives the block back; others may need the place."""
LATER_SECONDS = 60.0
"""For so long at most a block is put off that holds messages to domains at their limit."""
NAP_SECONDS = 0.05
"""How long a sender waits at most before it looks whether it is to stop."""


@dataclass(frozen=True)
class Rates:
    """How many messages a second may leave: through the gateway, and to some domains."""

    gateway: Bucket | None = None
    domains: Mapping[str, Sequence[Bucket]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.gateway is not None or bool(self.domains)


class Throttle:
    """What all senders of a process know of limits that are reached; used by all threads."""

    def __init__(self, buckets: Buckets) -> None:
        self.buckets = buckets
        self._closed: dict[str, float] = {}
        self.lines: dict[str, threading.Lock] = defaultdict(threading.Lock)
        """One thread of a process asks for a bucket's slots at a time, the others stand in line."""

    def opens_at(self, rates: Rates) -> datetime | None:
        """When the gateway may be used again; None: now."""
        wait = self.wait_for(rates.gateway) if rates.gateway else 0
        return _in(wait) if wait > 0 else None

    def wait_for(self, bucket: Bucket) -> float:
        """How long it makes no sense to ask for slots, in seconds."""
        return self._closed.get(bucket.name, 0.0) - monotonic()

    def take(
        self, bucket: Bucket, count: int, within: float, patience: float = 0
    ) -> tuple[int, float]:
        """Take slots; remember for how long there are none for somebody of such patience."""
        grant = self.buckets.take(bucket, count, within)
        if not grant.count:
            self._closed[bucket.name] = monotonic() + grant.wait - patience
        return grant.count, grant.wait


class Outflow:
    """The messages of a block in the order in which limits let them go; iterate once.

    Messages to a domain at its limit stay behind while all others go. What is not given out has
    to wait beyond the block's time: `opens_at` tells until when.

    Args:
        ended: Whether the work on the block is to end.
        until: The end of the block's time, by the monotonic clock.
        tempo: How fast the gateway takes messages, as it showed.
    """

    def __init__(
        self,
        throttle: Throttle,
        rates: Rates,
        messages: Sequence[ClaimedMessage],
        people: Mapping[int, Person],
        ended: Callable[[], bool],
        until: float,
        tempo: Tempo | None = None,
    ) -> None:
        self._tempo = tempo or Tempo()
        self._throttle, self._rates = throttle, rates
        self._messages, self._people = messages, people
        self._ended, self._until = ended, until
        self._slots = _Slots(throttle, rates.gateway, self._wait) if rates.gateway else None
        self.opens_at: datetime | None = None

    def __iter__(self) -> Iterator[ClaimedMessage]:
        return (message for message in self._steps() if message is not None)

    def batches(self, size: int) -> Iterator[Sequence[ClaimedMessage]]:
        """Give out up to so many messages at once, never ones that have to wait for others."""
        batch: list[ClaimedMessage] = []
        for message in self._steps():
            if message is not None:
                batch.append(message)
            if batch and (message is None or len(batch) == size):
                yield batch
                batch = []
        if batch:
            yield batch

    def _steps(self) -> Iterator[ClaimedMessage | None]:
        """The messages, and None before every wait: what is in hand has to leave then."""
        waiting = self._messages
        while waiting:
            later: list[ClaimedMessage] = []
            for message in waiting:
                if self._is_to_wait():
                    yield None
                if self._ended() or not self._gateway_is_open():
                    return
                if not self._domain_is_open(message):
                    later.append(message)
                    continue
                if self._slots:
                    self._slots.use()
                self._tempo.use()
                yield message
            waiting = later
            yield None
            if waiting and not self._wait_for_a_domain(waiting):
                return

    def _is_to_wait(self) -> bool:
        return self._tempo.wait() > 0 or (self._slots is not None and not self._slots.has_one())

    def _gateway_is_open(self) -> bool:
        while (wait := self._tempo.wait()) > 0:
            moment = monotonic() + wait
            if wait > PATIENCE_SECONDS or moment >= self._until or not self._wait(moment):
                self.opens_at = _in(wait)
                return False
        if self._slots is None or self._slots.ready(self._until):
            return True
        self.opens_at = self._throttle.opens_at(self._rates)
        return False

    def _domain_is_open(self, message: ClaimedMessage) -> bool:
        """Take a slot of the recipient's domain, if there is one now."""
        return all(
            self._throttle.wait_for(bucket) <= 0 and self._throttle.take(bucket, 1, 0)[0]
            for bucket in self._buckets_of(message)
        )

    def _wait_for_a_domain(self, messages: Sequence[ClaimedMessage]) -> bool:
        """Wait in a block that has nothing else; another one is given back, for others' sake."""
        buckets = {bucket for message in messages for bucket in self._buckets_of(message)}
        wait = min(self._throttle.wait_for(bucket) for bucket in buckets)
        if not all(self._buckets_of(message) for message in self._messages):
            longest = max(bucket.spacing for bucket in buckets) * len(messages)
            self.opens_at = _in(max(wait, min(longest, LATER_SECONDS)))
            return False
        if monotonic() + wait >= self._until:
            self.opens_at = _in(wait)
            return False
        return self._wait(monotonic() + wait)

    def _buckets_of(self, message: ClaimedMessage) -> Sequence[Bucket]:
        person = self._people.get(message.customer_id)
        return self._rates.domains.get(domain_of(person), ()) if person else ()

    def _wait(self, moment: float) -> bool:
        """Wait for a moment; false when the work is to end meanwhile."""
        while not self._ended():
            if (left := moment - monotonic()) <= 0:
                return True
            sleep(min(left, NAP_SECONDS))
        return False


class _Slots:
    """Slots of a gateway that one sender has taken and not used yet.

    They are taken when they are free, never ahead: whoever is late then loses none. It asks for
    twice as many when all were used in time, and for fewer when some were not.
    """

    def __init__(self, throttle: Throttle, bucket: Bucket, wait: Callable[[float], bool]) -> None:
        self._throttle, self._bucket, self._wait = throttle, bucket, wait
        self._line = throttle.lines[bucket.name]
        self._left = self._taken = 0
        self._good_until = 0.0

    def has_one(self) -> bool:
        """Whether a message may leave without waiting."""
        return self._left > 0 and monotonic() <= self._good_until

    def ready(self, until: float) -> bool:
        """Wait until a message may leave; false when none may within the time."""
        while not self.has_one():
            while not self._line.acquire(timeout=NAP_SECONDS):
                if not self._wait(0):
                    return False
            try:
                if not self._ask(until):
                    return False
            finally:
                self._line.release()
        return True

    def _ask(self, until: float) -> bool:
        while True:
            count, wait = self._throttle.take(self._bucket, self._wanted(), 0, PATIENCE_SECONDS)
            if count:
                self._left = self._taken = count
                self._good_until = monotonic() + GOOD_SECONDS
                return True
            moment = monotonic() + wait
            if wait > PATIENCE_SECONDS or moment >= until or not self._wait(moment):
                return False

    def use(self) -> None:
        """Use a slot."""
        self._left -= 1

    def _wanted(self) -> int:
        if self._left:
            return max(1, self._taken - self._left)
        return min(max(1, 2 * self._taken), self._bucket.batch)


def shared_buckets(installation: Installation) -> Buckets:
    """Return the way to the limits that all processes of an installation share."""
    url = installation.settings.redis_url.get_secret_value()
    return Buckets(url, lambda: live_senders(installation.database))


def domain_of(person: Person) -> str:
    """The domain of a person's address, in lower case."""
    return (person.address or "").rpartition("@")[2].lower()


def _in(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)
