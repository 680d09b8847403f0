"""Tells a gateway that takes nothing from messages that are refused."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from envoi.delivery.circuit import GatewayKey
from envoi.delivery.models import MessageState
from envoi.errors import TemporaryProviderError
from envoi.feedback.classify import judge
from envoi.feedback.models import Fault
from envoi.feedback.rules import Why
from envoi.types import SendResult, SendStatus

if TYPE_CHECKING:
    from envoi.delivery.outcomes import Outcome

REFUSALS_IN_A_ROW = 10
"""So many of a process, with nothing accepted between, are no chance."""

REFUSED_BY_ALL = 200
"""So many of a run refused for good, with nothing taken between, are no chance either: something is
wrong with the run, its sender's name for example, and the rest must not be burned."""

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


class Refusals:
    """What a run's messages were refused in a row, for good; used by all threads that send it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def look_at(self, outcomes: Sequence[Outcome]) -> str:
        """Say why the run is to pause, once too many were refused; else nothing.

        Addresses that a service knows no more tell nothing of the run.
        """
        if any(outcome.state is MessageState.ACCEPTED for outcome in outcomes):
            self._count = 0
            return ""
        refused = [o for o in outcomes if o.state is MessageState.FAILED and not _is_gone(o)]
        with self._lock:
            self._count = count = self._count + len(refused)
            if count < REFUSED_BY_ALL or not refused:
                return ""
            self._count = 0
        said = refused[-1].detail or refused[-1].code
        return (
            f"The gateway refused all of the last {count:,} messages. Correct what it names, then"
            f" resume: {said}"
        )


def _is_gone(outcome: Outcome) -> bool:
    return any(submission.address_gone for submission in outcome.submissions)


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
