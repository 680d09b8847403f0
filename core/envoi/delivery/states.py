"""The states of a message and the only steps between them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Update, literal

from envoi.db import table
from envoi.delivery.models import Message, MessageState

LONGEST_LIFETIME = timedelta(days=61)
"""How long after its launch a run may still hand messages over."""

_S = MessageState

EDGES: dict[MessageState, frozenset[MessageState]] = {
    _S.READY: frozenset({_S.CLAIMED, _S.BLOCKED, _S.EXPIRED, _S.CANCELLED, _S.UNCONFIRMED}),
    _S.CLAIMED: frozenset({_S.ACCEPTED, _S.FAILED, _S.UNCONFIRMED, _S.READY}),
    _S.UNCONFIRMED: frozenset({_S.ACCEPTED, _S.FAILED, _S.READY}),
}
"""From each state, where a message may go; the states that are no key here are final."""

RESENT = "resent"
"""In `message.detail`: an earlier attempt had no known outcome, so it may arrive twice."""

OPEN_STATES = frozenset({_S.READY, _S.CLAIMED})
"""States in which a run still has work with a message."""

RECIPIENT_STATES = frozenset(_S) - {_S.EXCLUDED, _S.CONTROL}
"""States of those who were collected to receive; they add up to the recipients."""


def move(from_: MessageState, to: MessageState | ColumnElement[int], **changes: Any) -> Update:
    """Begin the UPDATE of messages from one state; every change of `message.state` is made here.

    Rows in another state are not touched, so that a step taken twice is taken once. The
    caller adds tenant, run and launch day.

    Args:
        from_: The state that the rows must be in.
        to: The new state, or a column that holds it for each row; then rows with a state
            that cannot follow are not touched.
        changes: Other columns that change with it.

    Raises:
        ValueError: No such step exists.
    """
    allowed = EDGES.get(from_, frozenset())
    message = table(Message)
    update = message.update().where(message.c.state == from_)
    if isinstance(to, MessageState):
        if to not in allowed:
            raise ValueError(f"A message cannot go from {from_.name} to {to.name}.")
        return update.values(state=literal(to, message.c.state.type), **changes)
    return update.where(to.in_(sorted(allowed))).values(state=to, **changes)


def leave_unconfirmed() -> Update:
    """Begin the UPDATE of messages that were to be sent again and are not after all.

    They may have arrived the first time, so nobody may say of them that they were cancelled,
    had expired or were blocked. The caller adds whose they are, and comes before those steps.
    """
    again = table(Message).c.detail == RESENT
    return move(MessageState.READY, MessageState.UNCONFIRMED, detail=None).where(again)
