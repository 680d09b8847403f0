"""Copies of a message for people outside of the audience: tests, and watchers of a mailing.

A copy is no row of the ledger, so no figure can count it. It is rendered for one customer by
the plan that sends, and leaves through the same gateway to whatever address was named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from time import monotonic, sleep

import structlog
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from envoi.db import storable
from envoi.delivery.buckets import Buckets
from envoi.delivery.claim import ClaimedMessage
from envoi.delivery.models import Run, RunStatus
from envoi.delivery.plan import Plan, make_plan
from envoi.delivery.recipients import Person
from envoi.delivery.restored import may_send
from envoi.delivery.routes import likely_route
from envoi.delivery.runs import get_run
from envoi.delivery.submissions import whole
from envoi.delivery.tempo import REST_SECONDS
from envoi.delivery.throttle import shared_buckets
from envoi.errors import EnvoiError
from envoi.installation import Installation
from envoi.jobs import Work, announce, withdraw
from envoi.logs import without_secrets
from envoi.operations.plugin_errors import note_fault
from envoi.plugins import Plugins, fence
from envoi.types import Connection, SendResult, SendStatus

log = structlog.get_logger()

NOBODY = 0
"""Stands for the customer of a copy that is rendered for none."""
_STEPS = 15
MOST_SECONDS = 10.0
"""How long a copy waits for its turn at a gateway with a limit."""


class CopyState(StrEnum):
    """What became of a copy; `sending` that never changes again is unconfirmed."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    UNCONFIRMED = "unconfirmed"


class Copy(BaseModel):
    """One copy for one address."""

    model_config = ConfigDict(frozen=True)

    address: str
    variant: int = 1
    state: CopyState = CopyState.WAITING
    detail: str = ""


class Copies(BaseModel):
    """All copies of a run, stored as `run.volume`."""

    model_config = ConfigDict(frozen=True)

    customer_id: int = NOBODY
    copies: tuple[Copy, ...] = ()

    @property
    def done(self) -> bool:
        """Whether nothing more will happen by itself."""
        return not any(c.state in (CopyState.WAITING, CopyState.SENDING) for c in self.copies)


_STATES = {
    SendStatus.ACCEPTED: CopyState.SENT,
    SendStatus.REFUSED: CopyState.FAILED,
    SendStatus.REFUSED_NOW: CopyState.FAILED,
    SendStatus.THROTTLED: CopyState.FAILED,
    SendStatus.UNKNOWN: CopyState.UNCONFIRMED,
}


def add_copies(session: Session, run: Run, customer_id: int, copies: Sequence[Copy]) -> None:
    """Give a test run its copies and let a worker send them."""
    run.volume = Copies(customer_id=customer_id, copies=tuple(copies)).model_dump(mode="json")
    run.status = RunStatus.SENDING
    announce(session, run.tenant_id, Work.COPIES, run.id)


def copies_of(run: Run) -> Copies:
    """Return a test run's copies as they stand."""
    return Copies.model_validate(run.volume)


def send_copies(installation: Installation, tenant_id: int, run_id: int) -> None:
    """Send what waits; each copy is tried once, and its outcome is kept at once.

    The caller sees to it that no two processes do this at the same time.
    """
    with installation.database.tenant_session(tenant_id) as session:
        if not may_send(session):
            return
        kept = copies_of(get_run(session, tenant_id, run_id))
    try:
        with installation.database.tenant_session(tenant_id) as session:
            route = likely_route(session, installation.plugins, tenant_id, run_id)
        plan = make_plan(installation, tenant_id, run_id, route)
        person = _person(installation, plan, kept.customer_id)
        buckets = shared_buckets(installation)
        with closing(_connect(installation.plugins, plan)) as connection:
            for place, copy in enumerate(kept.copies):
                _wait_for_slot(buckets, plan)
                _send(installation, plan, connection, person, place, copy)
    except EnvoiError as error:
        log.warning("copies_failed", tenant=tenant_id, run=run_id, error=str(error))
        note_fault(installation.database, tenant_id, error)
        with installation.database.tenant_session(tenant_id) as session:
            give_up_copies(session, tenant_id, run_id, str(error))
        return
    with installation.database.tenant_session(tenant_id) as session:
        _finish(session, get_run(session, tenant_id, run_id, lock=True))


def give_up_copies(session: Session, tenant_id: int, run_id: int, reason: str) -> None:
    """End a test run whose copies cannot be sent; one that may have left is unconfirmed."""
    run = get_run(session, tenant_id, run_id, lock=True)
    kept = copies_of(run)
    failed = tuple(_failed(copy, reason) for copy in kept.copies)
    run.volume = kept.model_copy(update={"copies": failed}).model_dump(mode="json")
    _finish(session, run)


def _wait_for_slot(buckets: Buckets, plan: Plan) -> None:
    """Keep to the gateway's rate, but not for long: a person waits for these few."""
    if plan.rates.gateway is not None:
        grant = buckets.take(plan.rates.gateway, 1, MOST_SECONDS)
        sleep(min(grant.wait, MOST_SECONDS))


def _connect(plugins: Plugins, plan: Plan) -> Connection:
    opened: Connection = fence(plugins, "provider", plan.provider_name, plan.provider.connect)
    return opened


def _person(installation: Installation, plan: Plan, customer_id: int) -> Person:
    with installation.database.tenant_connection(plan.tenant_id) as connection:
        found = plan.people.fetch(connection, [customer_id]).get(customer_id)
    return plan.macros.shown(found or Person(NOBODY, None, "", {}))


def _send(
    installation: Installation,
    plan: Plan,
    connection: Connection,
    person: Person,
    place: int,
    copy: Copy,
) -> None:
    if copy.state is CopyState.SENDING:
        _note(installation, plan, place, CopyState.UNCONFIRMED, "")
    if copy.state is not CopyState.WAITING:
        return
    # Steps tell the copies of one customer apart where mailboxes compare Message-IDs.
    message = ClaimedMessage(person.customer_id, place % _STEPS + 1, copy.variant, 0)
    reader = replace(person, address=copy.address, name="", devices=plan.devices_at(copy.address))
    plugins = installation.plugins
    outgoing = fence(plugins, "channel", plan.channel, partial(plan.render, message, reader))
    _note(installation, plan, place, CopyState.SENDING, "")
    send = partial(fence, plugins, "provider", plan.provider_name)
    result = _answer(lambda: send(partial(connection.send, outgoing)))
    _note(installation, plan, place, _STATES[result.status], result.raw)


def _answer(send: Callable[[], SendResult]) -> SendResult:
    """Hand a copy over, again where a gateway finds us too fast; a person waits for it."""
    until = monotonic() + MOST_SECONDS
    while True:
        result = whole(send())
        if result.status is not SendStatus.THROTTLED or monotonic() >= until:
            return result
        sleep(REST_SECONDS)


def _note(
    installation: Installation, plan: Plan, place: int, state: CopyState, detail: str
) -> None:
    with installation.database.tenant_session(plan.tenant_id) as session:
        run = get_run(session, plan.tenant_id, plan.run_id, lock=True)
        kept = copies_of(run)
        changed = list(kept.copies)
        changed[place] = changed[place].model_copy(update={"state": state, "detail": _kept(detail)})
        run.volume = kept.model_copy(update={"copies": tuple(changed)}).model_dump(mode="json")


def _kept(words: str) -> str:
    """What a provider said, as it may be kept and shown."""
    return storable(without_secrets(words))[:300]


def _failed(copy: Copy, reason: str) -> Copy:
    """A copy that will not be tried any more; one that may have left is not called failed."""
    if copy.state is CopyState.WAITING:
        return copy.model_copy(update={"state": CopyState.FAILED, "detail": _kept(reason)})
    if copy.state is CopyState.SENDING:
        return copy.model_copy(update={"state": CopyState.UNCONFIRMED, "detail": _kept(reason)})
    return copy


def _finish(session: Session, run: Run) -> None:
    run.status, run.finished_at = RunStatus.SENT, datetime.now(UTC)
    withdraw(session, run.tenant_id, Work.COPIES, run.id)
