"""The messages of a block end with its time also where nothing is limited."""

from __future__ import annotations

from time import monotonic

from envoi.delivery.buckets import Buckets
from envoi.delivery.claim import ClaimedMessage
from envoi.delivery.throttle import Outflow, Rates, Throttle

MESSAGES = [ClaimedMessage(number, 1, 1, 0) for number in range(10)]


def test_a_block_ends_when_its_sender_is_to_stop() -> None:
    gone: list[ClaimedMessage] = []
    throttle = Throttle(Buckets("", lambda: 1))
    flow = Outflow(throttle, Rates(), MESSAGES, {}, lambda: len(gone) >= 3, monotonic() + 60)
    for message in flow:
        gone.append(message)  # noqa: PERF402 - what has gone decides about the next one
    assert gone == MESSAGES[:3]
