"""The eight statuses of a mailing, derived from its own state and its run's."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import ColumnElement, case, literal

from envoi.db import table
from envoi.delivery.models import Run, RunStatus
from envoi.mailings.models import Mailing, MailingState


class Status(StrEnum):
    """What a marketer sees (product reference, section 2)."""

    DRAFT = "draft"
    CREATED = "created"
    COLLECTING = "collecting"
    SENDING = "sending"
    PAUSED = "paused"
    SENT = "sent"
    CANCELLED = "cancelled"
    FAILED = "failed"


FINISHED = frozenset({Status.SENT, Status.CANCELLED, Status.FAILED})
STOPPABLE = frozenset({Status.COLLECTING, Status.SENDING, Status.PAUSED})

_OWN = {
    MailingState.DRAFT: Status.DRAFT,
    MailingState.CREATED: Status.CREATED,
    MailingState.CANCELLED: Status.CANCELLED,
}
_OF_RUN = {
    RunStatus.COLLECTING: Status.COLLECTING,
    RunStatus.SENDING: Status.SENDING,
    RunStatus.PAUSED: Status.PAUSED,
    RunStatus.SENT: Status.SENT,
    RunStatus.CANCELLED: Status.CANCELLED,
    RunStatus.FAILED: Status.FAILED,
}


def status_of(mailing: Mailing, run: Run | None) -> Status:
    """Tell a mailing's status; `run` is the one it was launched as, if it was."""
    if run is not None:
        return _OF_RUN[RunStatus(run.status)]
    return _OWN[MailingState(mailing.state)]


def status_column() -> ColumnElement[str]:
    """Return the status as a column of a query that outer-joins `run` to `mailing`."""
    mailing, run = table(Mailing).c, table(Run).c
    return case(
        *((run.status == int(state), literal(status.value)) for state, status in _OF_RUN.items()),
        *((mailing.state == int(state), literal(status.value)) for state, status in _OWN.items()),
        else_=literal(Status.CREATED.value),
    )
