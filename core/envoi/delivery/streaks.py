"""Tells a gateway that takes nothing from messages that are refused."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

from envoi.delivery.circuit import GatewayKey
from envoi.errors import TemporaryProviderError
from envoi.feedback.classify import judge
from envoi.feedback.models import Fault
from envoi.feedback.rules import Why
from envoi.types import SendResult, SendStatus

REFUSALS_IN_A_ROW = 10
"""So many of a process, with nothing accepted between, are no chance."""

_PERMANENT = 500


class RefusingEverythingError(TemporaryProviderError):
    """One message after the other was refused, or not answered, by no fault of the recipient's."""


class Streaks:
    """Counts by gateway what was not taken in a row; used by all threads of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refused: Counter[GatewayKey] = Counter()

    def look_at(self, gateway: GatewayKey, results: Sequence[SendResult]) -> None:
        """Count the answers to messages that were handed over together.

        Where one of them was taken the gateway works. What was lost together with a connection
        counts once, however many it lets wait for an answer.

        Raises:
            RefusingEverythingError: None of the last ones was taken, as far as is known.
        """
        if any(result.status is SendStatus.ACCEPTED for result in results):
            if gateway in self._refused:
                with self._lock:
                    self._refused.pop(gateway, None)
            return
        lost = [result for result in results if result.status is SendStatus.UNKNOWN]
        trouble = [result for result in results if _is_refusal(result)] + lost[:1]
        if not trouble:
            return
        with self._lock:
            self._refused[gateway] += len(trouble)
            count = self._refused[gateway]
        if count >= REFUSALS_IN_A_ROW:
            raw = trouble[-1].raw
            message = f"The gateway confirmed none of the last {count} messages: {raw}"
            raise RefusingEverythingError(message, raw=raw)


def _is_refusal(result: SendResult) -> bool:
    """Whether a message was refused for a reason for which others will be as well."""
    return result.status is SendStatus.REFUSED and is_of_gateway(result.code, result.raw)


def is_of_gateway(code: int, words: str | None) -> bool:
    """Whether a permanent refusal blames us or nobody, so that others will be refused as well."""
    if code < _PERMANENT:
        return False
    judgement = judge("", code, words or "")
    if judgement.why is Why.CONTENT:
        return False
    return judgement.fault is Fault.SENDER or judgement.why is Why.UNCLASSIFIED
