"""Handing over several messages at once, where a provider's connection takes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from envoi.delivery.circuit import GatewayKey
from envoi.types import (
    BatchConnection,
    Connection,
    Outgoing,
    SendResult,
    SendStatus,
    Submission,
)

BATCH_SECONDS = 1.5
"""A batch is so large that it is over about so soon."""

LARGEST = 500
_SMALLEST = 16
_NUMBERS = 2**63


class BatchSizes:
    """How many messages gateways are given at once, as they showed; used by all threads."""

    def __init__(self) -> None:
        self._sizes: dict[GatewayKey, int] = {}

    def of(self, gateway: GatewayKey, most: int) -> int:
        """How many messages to give a gateway that takes so many at most."""
        return min(most, self._sizes.get(gateway, _SMALLEST))

    def note(self, gateway: GatewayKey, count: int, seconds: float) -> None:
        """Learn from a batch: what is soon over may be twice as large."""
        known = self._sizes.get(gateway, _SMALLEST)
        if seconds <= BATCH_SECONDS / 2:
            known = max(known, min(2 * count, LARGEST))
        elif seconds > BATCH_SECONDS:
            known = min(known, max(_SMALLEST, int(count * BATCH_SECONDS / seconds)))
        self._sizes[gateway] = known


def most_at_once(connection: Connection) -> int:
    """How many messages a connection takes at once at most."""
    if not isinstance(connection, BatchConnection):
        return 1
    return max(1, min(int(connection.batch_size), LARGEST))


def sent(connection: Connection, messages: Sequence[Outgoing]) -> Sequence[SendResult]:
    """Hand messages over and return their answers; several only where that is taken.

    Raises:
        TypeError: The answers are none, so that nobody knows what has left.
    """
    if len(messages) == 1:
        results: Sequence[SendResult] = [connection.send(messages[0])]
    else:
        assert isinstance(connection, BatchConnection)
        results = list(connection.send_batch(messages))
    if len(results) != len(messages) or not all(map(_is_answer, results)):
        raise TypeError(f"{len(messages)} messages were answered by {results!r:.200}.")
    return results


def _is_answer(result: object) -> bool:
    """Whether it is what it says, so that taking it down cannot fail."""
    return (
        isinstance(result, SendResult)
        and _is_sound(result)
        and isinstance(result.submissions, tuple)
        and all(isinstance(s, Submission) and _is_sound(s) for s in result.submissions)
        and all(_is_number(s.number) for s in result.submissions)
    )


def _is_sound(said: SendResult | Submission) -> bool:
    return (
        isinstance(said.status, SendStatus)
        and isinstance(said.code, int)
        and isinstance(said.raw, str)
        and isinstance(said.provider_id, str)
        and isinstance(said.address_gone, bool)
        and isinstance(said.gone_since, datetime | None)
    )


def _is_number(number: object) -> bool:
    return isinstance(number, int) and -_NUMBERS <= number < _NUMBERS
