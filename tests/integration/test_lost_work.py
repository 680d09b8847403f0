"""The scheduler finds open work that nobody has announced, of every kind, and only that."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.customers.models import Import, ImportState
from envoi.db import Database, table
from envoi.delivery.circuit import failed
from envoi.delivery.models import Gateway, Message, MessageState, Run, RunBlock, RunKind, RunStatus
from envoi.errors import ProviderError
from envoi.exports.models import Export, ExportState
from envoi.feedback.models import Bounce, Door, Fault
from envoi.feedback.rates import look_at_rates
from envoi.jobs import Work
from envoi.mailings.models import Mailing, MailingState
from envoi.segments.models import Segment
from envoi.target_audiences.models import TargetAudience
from envoi.tenants.models import DueWork, TenantSettings
from envoi_workers.lost import lost_work

NOW = datetime.now(UTC)
Make = Callable[[Session, int], int]


def a_mailing(session: Session, tenant_id: int, **values: Any) -> int:
    shared: dict[str, Any] = {"state": MailingState.CREATED, "starts_at": NOW + timedelta(hours=1)}
    made = Mailing(tenant_id=tenant_id, channel="email", **shared | values)
    session.add(made)
    session.flush()
    return made.id


def a_run(session: Session, tenant_id: int, status: RunStatus, **values: Any) -> int:
    shared: dict[str, Any] = {
        "settings": {},
        "kind": RunKind.MAILING,
        "channel": "email",
        "seed": 1,
    }
    run = Run(tenant_id=tenant_id, launched_on=NOW.date(), status=status, **shared | values)
    session.add(run)
    session.flush()
    return run.id


def ended(session: Session, tenant_id: int) -> int:
    window: dict[str, Any] = {
        "settings": {"attribution_days": 14},
        "collected_at": NOW,
        "finished_at": NOW,
    }
    return a_run(session, tenant_id, RunStatus.SENT, **window)


def copies(session: Session, tenant_id: int) -> int:
    volume = {"customer_id": 0, "copies": [{"address": "a@shop.test"}]}
    return a_run(session, tenant_id, RunStatus.SENDING, kind=RunKind.TEST, volume=volume)


def counted_too_early(session: Session, tenant_id: int) -> int:
    before = {"as_of": (NOW - timedelta(minutes=5)).isoformat()}
    window: dict[str, Any] = {"finished_at": NOW, "report": {"people": json.dumps(before)}}
    return a_run(session, tenant_id, RunStatus.SENT, **window)


def bouncing(session: Session, tenant_id: int) -> int:
    """A run at work of which everything bounced, and whose SEND is announced."""
    session.merge(TenantSettings(tenant_id=tenant_id, pause_after=1))
    run_id = a_run(session, tenant_id, RunStatus.SENDING)
    shared: dict[str, Any] = {"tenant_id": tenant_id, "run_id": run_id, "customer_id": 1, "step": 0}
    session.execute(
        table(Message)
        .insert()
        .values(**shared, launched_on=NOW.date(), state=MessageState.ACCEPTED, seq=1, attempt=0)
    )
    session.add(Bounce(**shared, fault=Fault.HARD, door=Door.LISTENER, at=NOW, address="a@b.test"))
    return run_id


def an_import(session: Session, tenant_id: int) -> int:
    row = Import(tenant_id=tenant_id, kind="customers", state=ImportState.RUNNING, path="x.csv")
    session.add(row)
    session.flush()
    return row.id


def an_export(session: Session, tenant_id: int) -> int:
    row = Export(tenant_id=tenant_id, kind="customers", state=ExportState.WAITING)
    session.add(row)
    session.flush()
    return row.id


def a_segment(session: Session, tenant_id: int) -> int:
    row = Segment(tenant_id=tenant_id, name="Everybody", tree={"all": []})
    session.add(row)
    session.flush()
    return row.id


def an_audience(session: Session, tenant_id: int) -> int:
    row = TargetAudience(tenant_id=tenant_id, name="Jury", pending=[{"tree": {}, "add": True}])
    session.add(row)
    session.flush()
    return row.id


def a_circuit(session: Session, tenant_id: int) -> int:
    row = Gateway(tenant_id=tenant_id, channel="email", provider="smtp", name="R", secrets=b"")
    session.add(row)
    session.flush()
    failed(session, (tenant_id, row.id), ProviderError("It is away."), at_once=True)
    return row.id


KINDS: list[tuple[Work, Make]] = [
    (Work.LAUNCH, a_mailing),
    (Work.COLLECT, lambda s, t: a_run(s, t, RunStatus.COLLECTING)),
    (Work.SEND, lambda s, t: a_run(s, t, RunStatus.SENDING)),
    (Work.SEND, lambda s, t: a_run(s, t, RunStatus.CANCELLED)),
    (Work.ATTRIBUTE, ended),
    (Work.REPORT, counted_too_early),
    (Work.COPIES, copies),
    (Work.IMPORT, an_import),
    (Work.EXPORT, an_export),
    (Work.FIGURES, a_segment),
    (Work.AUDIENCE, an_audience),
    (Work.PROBE, a_circuit),
]


@pytest.mark.parametrize(("kind", "make"), KINDS)
def test_what_is_open_and_not_announced_is_found(
    database: Database, tenant_id: int, kind: Work, make: Make
) -> None:
    due = table(DueWork)
    with database.tenant_session(tenant_id) as session:
        ref = make(session, tenant_id)
        session.execute(due.delete().where(due.c.tenant_id == tenant_id))
    with database.tenant_session(tenant_id) as session:
        assert [lost[:2] for lost in lost_work(session, tenant_id)] == [(kind, ref)]
        due_at = {lost[0]: lost[2] for lost in lost_work(session, tenant_id)}[kind]
        assert (due_at is not None) == (kind in (Work.LAUNCH, Work.PROBE))
        for lost in lost_work(session, tenant_id):
            session.add(DueWork(due_at=NOW, tenant_id=tenant_id, kind=lost[0].value, ref=lost[1]))
        session.flush()
        assert lost_work(session, tenant_id) == []


def test_a_cascade_that_may_move_on_is_looked_at(database: Database, tenant_id: int) -> None:
    with database.tenant_session(tenant_id) as session:
        run_id = a_run(session, tenant_id, RunStatus.SENDING)
        key: dict[str, Any] = {"tenant_id": tenant_id, "run_id": run_id, "launched_on": NOW.date()}
        for number, moves_at in enumerate((None, NOW, NOW + timedelta(minutes=5))):
            session.add(RunBlock(**key, number=number, due_at=NOW, moves_at=moves_at))
    with database.tenant_session(tenant_id) as session:
        lost = {(kind, ref): due_at for kind, ref, due_at in lost_work(session, tenant_id)}
        assert lost == {(Work.SEND, run_id): None, (Work.CASCADE, run_id): NOW}


def test_a_run_that_ought_to_be_paused_is_looked_at(database: Database, tenant_id: int) -> None:
    with database.tenant_session(tenant_id) as session:
        run_id = bouncing(session, tenant_id)
    with database.tenant_session(tenant_id) as session:
        lost = {(kind, ref) for kind, ref, _ in lost_work(session, tenant_id)}
        assert lost == {(Work.SEND, run_id), (Work.RATES, run_id)}
    assert look_at_rates(database, tenant_id, run_id)
    with database.tenant_session(tenant_id) as session:
        assert lost_work(session, tenant_id) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda s, t: a_run(
            s,
            t,
            RunStatus.SENT,
            finished_at=NOW,
            report={"people": json.dumps({"as_of": (NOW + timedelta(seconds=9)).isoformat()})},
        ),
        lambda s, t: a_mailing(s, t, state=MailingState.DRAFT),
        lambda s, t: a_mailing(s, t, starts_at=NOW - timedelta(days=90)),
        lambda s, t: a_run(s, t, RunStatus.PAUSED),
        lambda s, t: a_run(s, t, RunStatus.SENT, finished_at=NOW),
        lambda s, t: a_run(s, t, RunStatus.CANCELLED, finished_at=NOW),
    ],
)
def test_what_waits_for_a_person_or_has_ended_is_not_lost(
    database: Database, tenant_id: int, make: Make
) -> None:
    with database.tenant_session(tenant_id) as session:
        make(session, tenant_id)
        assert lost_work(session, tenant_id) == []
        assert (
            session.scalar(select(DueWork).where(table(DueWork).c.tenant_id == tenant_id)) is None
        )
