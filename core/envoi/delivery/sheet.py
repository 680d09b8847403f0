"""What has become of a block so far: filled in by the sender that works on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from envoi.db import storable
from envoi.delivery.claim import ClaimedMessage
from envoi.delivery.handover import Later
from envoi.delivery.models import MessageState
from envoi.delivery.outcomes import Outcome
from envoi.delivery.recorder import MOST_TEXT, MOST_WORDS, OnWire, Slot
from envoi.delivery.submissions import packed, submissions_of, within
from envoi.errors import ProviderError
from envoi.logs import without_secrets
from envoi.types import Outgoing, SendResult, SendStatus, Submission

MAX_DETAIL = 120

_STATES = {
    SendStatus.ACCEPTED: MessageState.ACCEPTED,
    SendStatus.REFUSED: MessageState.FAILED,
    SendStatus.REFUSED_NOW: MessageState.READY,
    SendStatus.UNKNOWN: MessageState.UNCONFIRMED,
}
_CHARGED = frozenset({SendStatus.ACCEPTED, SendStatus.UNKNOWN})
"""What may have been taken is counted in full: a budget is a ceiling."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A message that is rendered, and what it costs; `further` is what may follow by itself."""

    message: ClaimedMessage
    outgoing: Outgoing
    on_wire: OnWire
    further: tuple[Later, ...] = ()

    def charged(self, result: SendResult) -> OnWire:
        """What was taken of it, as far as is known."""
        if result.status not in _CHARGED:
            return replace(self.on_wire, parts=0, amount=0)
        taken = sum(s.status in _CHARGED for s in result.submissions)
        parts = self.on_wire.parts
        if self.outgoing.devices or taken == len(result.submissions) or taken >= parts:
            return self.on_wire
        return replace(self.on_wire, parts=taken, amount=self.on_wire.amount // parts * taken)


@dataclass
class Sheet:
    """The outcomes of a block, and why the work on it ended early."""

    outcomes: list[Outcome] = field(default_factory=list)
    rest_due_at: datetime | None = None
    pause_reason: str = ""
    trouble: ProviderError | None = None
    throttled: int = 0

    def fail(self, message: ClaimedMessage, detail: str) -> None:
        """Note a message that cannot be made; it fails alone."""
        self._note(OnWire(message.customer_id, message.step), MessageState.FAILED, detail)

    def lose(self, messages: Iterable[Ready], detail: str) -> None:
        """Note messages of which nobody knows whether they have left."""
        for ready in messages:
            self._note(ready.on_wire, MessageState.UNCONFIRMED, detail, further=ready.further)

    def take_in(self, ready: Ready, place: int, result: SendResult, slot: Slot) -> None:
        """Note the answer to a message, first in the flight recorder, where it is `place`."""
        if result.status is SendStatus.THROTTLED:
            slot.take_off_wire(place)
            self.throttled += 1
            return
        state = _STATES[result.status]
        detail, code = _shortened(result.raw), within(result.code)
        if state is MessageState.ACCEPTED and not result.submissions:
            detail = ""
        charged = ready.charged(result)
        found = submissions_of(result, ready.outgoing)
        data = packed(found, MOST_TEXT - MOST_WORDS if detail else MOST_TEXT) if found else b""
        slot.acknowledge(charged, state, code, detail, data)
        self._note(charged, state, detail, code, found, ready.further)

    def _note(
        self,
        message: OnWire,
        state: MessageState,
        detail: str,
        code: int = 0,
        submissions: tuple[Submission, ...] = (),
        further: tuple[Later, ...] = (),
    ) -> None:
        self.outcomes.append(
            Outcome(
                message.customer_id,
                message.step,
                state,
                code,
                _shortened(detail) or None,
                datetime.now(UTC) if state is MessageState.ACCEPTED else None,
                message.parts,
                message.amount,
                submissions,
                further,
            )
        )

    def count(self, state: MessageState) -> int:
        """How many messages are in a state."""
        return sum(outcome.state is state for outcome in self.outcomes)


def _shortened(detail: str) -> str:
    # What a provider says may hold what it was given to sign in with.
    return storable(without_secrets(detail)[:MAX_DETAIL]) if detail else ""
