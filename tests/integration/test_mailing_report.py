"""The report of the worked example, made in sets, and that its parts always add up."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from envoi.db import Database
from envoi.delivery.models import MessageState, Stage
from envoi.errors import ConflictError, NotFoundError
from envoi.mailings.lift import Verdict
from envoi.mailings.outcomes import count_of, customers_of, outcome_names
from envoi.mailings.report import MailingReport, report_of_mailing
from envoi.plugins import Plugins
from envoi.subscriptions.service import Source, opt_out
from envoi.tenants.service import create_tenant
from ledger_rows import (
    NOW,
    LedgerRun,
    add_customers,
    add_messages,
    add_receipt,
    add_run,
)
from worked_example import worked_example

LAUNCHED = NOW - timedelta(days=15)


def report(
    database: Database, plugins: Plugins, run: LedgerRun, **options: object
) -> MailingReport:
    with database.tenant_session(run.tenant_id) as session:
        return report_of_mailing(session, plugins, run.tenant_id, run.mailing_id, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def worked(database: Database) -> LedgerRun:
    tenant_id = create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Fieldmarket").id
    return worked_example(database, tenant_id, LAUNCHED)


def test_the_worked_example(database: Database, plugins: Plugins, worked: LedgerRun) -> None:
    found = report(database, plugins, worked)
    volume, funnel = found.volume, found.funnel
    stages = {line.stage: line.count for line in volume.stages}
    assert (volume.customers, volume.good, volume.control) == (14_730, 14_255, 998)
    assert volume.recipients == funnel.recipients == 13_257
    assert stages[Stage.ADDRESS_ISSUE] == 71
    assert stages[Stage.CHANNEL_OPT_OUT] == 404
    assert sum(stages.values()) + volume.control + volume.recipients == volume.customers
    assert (funnel.sent, funnel.delivered) == (13_204, 13_021)
    assert (funnel.opened, funnel.clicked, funnel.bought) == (5_612, 1_148, 3_268)
    assert funnel.not_sent == sum(reason.count for reason in found.not_sent) == 53
    assert sum(reason.count for reason in found.not_delivered) == funnel.bounced == 183
    first = found.not_sent[0]
    assert (first.state, first.code, first.count) == (MessageState.FAILED, 550, 33)
    assert first.text.startswith("550 5.1.1 no user")
    assert found.sales.receipts == 3_268
    assert sum(day.amount for day in found.sales.days) == found.sales.amount


def test_lift_of_the_worked_example(
    database: Database, plugins: Plugins, worked: LedgerRun
) -> None:
    lift = report(database, plugins, worked).lift
    assert (lift.main.customers, lift.main.buyers) == (13_257, 3_268)
    assert (lift.control.customers, lift.control.buyers) == (998, 214)
    assert lift.verdict is Verdict.MORE
    assert not lift.is_open
    assert lift.conversion is not None
    assert f"{lift.conversion.value:.4f} {lift.conversion.p:.3f}" == "0.0321 0.023"
    assert lift.revenue_per_customer is not None
    expected = lift.main.revenue / 13_257 - lift.control.revenue / 998
    assert lift.revenue_per_customer.value == pytest.approx(expected)
    assert lift.revenue is not None
    assert lift.expected_revenue == pytest.approx(lift.control.revenue / 998 * 13_257)
    assert lift.average_receipt is not None
    assert report(database, plugins, worked, now=LAUNCHED + timedelta(days=3)).lift.is_open


def test_every_number_leads_to_that_many_customers(
    database: Database, plugins: Plugins, worked: LedgerRun
) -> None:
    found = report(database, plugins, worked)
    expected = {
        "customers": found.volume.customers,
        "good": found.volume.good,
        "control": found.volume.control,
        "recipients": found.volume.recipients,
        "sent": found.funnel.sent,
        "delivered": found.funnel.delivered,
        "undelivered": found.funnel.bounced,
        "opened": found.funnel.opened,
        "clicked": found.funnel.clicked,
        "bought": found.funnel.bought,
        "unconfirmed": found.funnel.unconfirmed,
        "resent": found.funnel.resent,
        "failed": 33,
        "blocked": 18,
        "unsubscribed": 0,
        "complained": 0,
        "waiting": 0,
        "not_sent": found.funnel.not_sent,
        "expired": 0,
        "cancelled": 0,
        **{line.stage.name.lower(): line.count for line in found.volume.stages},
    }
    assert expected.keys() == outcome_names()
    with database.tenant_session(worked.tenant_id) as session:
        where = (session, worked.tenant_id, worked.mailing_id)
        assert {name: count_of(*where, name) for name in expected} == expected
        first = customers_of(*where, "control", limit=600)
        rest = customers_of(*where, "control", limit=600, after=first[-1].customer_id)
        assert len({row.customer_id for row in first + rest}) == 998
        with pytest.raises(NotFoundError):
            customers_of(*where, "everybody")


def test_unsubscribed_reasons_add_up(database: Database, plugins: Plugins, tenant_id: int) -> None:
    customers = add_customers(database, tenant_id, 4)
    run = add_run(database, tenant_id, launched_at=LAUNCHED)
    add_messages(database, run, customers)
    with database.tenant_session(tenant_id) as session:
        for customer, reason in zip(customers, ("too_many", "too_many", ""), strict=False):
            source = {"source": Source.PAGE, "reason": reason, "run_id": run.run_id}
            opt_out(session, tenant_id, customer, "email", **source)  # type: ignore[arg-type]
    found = report(database, plugins, run)
    assert found.unsubscribed == {"too_many": 2, "": 1}
    assert found.funnel.unsubscribed == 3


@pytest.mark.parametrize(
    ("main", "control", "verdict"),
    [
        (40, 0, Verdict.NO_CONTROL),
        (40, 29, Verdict.TOO_FEW),
        (29, 40, Verdict.TOO_FEW),
        (30, 30, Verdict.NOT_SIGNIFICANT),
    ],
)
def test_small_groups_get_no_rates(
    database: Database, plugins: Plugins, tenant_id: int, main: int, control: int, verdict: Verdict
) -> None:
    customers = add_customers(database, tenant_id, main + control)
    run = add_run(database, tenant_id, launched_at=LAUNCHED)
    add_messages(database, run, customers[:main])
    if control:
        add_messages(database, run, customers[main:], state=MessageState.CONTROL)
    add_receipt(database, tenant_id, customers[0], LAUNCHED + timedelta(days=1))
    add_receipt(database, tenant_id, customers[0], LAUNCHED + timedelta(days=14))
    add_receipt(database, tenant_id, customers[1], LAUNCHED - timedelta(seconds=1))
    add_receipt(database, tenant_id, customers[2], LAUNCHED, cancelled=True)
    lift = report(database, plugins, run).lift
    assert lift.verdict is verdict
    assert (lift.conversion is None) == (verdict is not Verdict.NOT_SIGNIFICANT)
    assert (lift.main.buyers, lift.main.receipts) == (1, 1)


def test_machines_are_counted_when_asked(
    database: Database, plugins: Plugins, tenant_id: int
) -> None:
    customers = add_customers(database, tenant_id, 3)
    run = add_run(database, tenant_id, launched_at=LAUNCHED)
    add_messages(database, run, customers)
    sql = text(
        "INSERT INTO message_event (tenant_id, run_id, customer_id, at, launched_on, step, kind,"
        " machine) VALUES (:t, :r, :c, now(), :d, 1, :k, true)"
    )
    with database.tenant_connection(tenant_id) as connection:
        for customer, kind in ((customers[0], 1), (customers[0], 2), (customers[1], 1)):
            values = {
                "t": tenant_id,
                "r": run.run_id,
                "c": customer,
                "d": run.launched_on,
                "k": kind,
            }
            connection.execute(sql, values)
    people, everybody = (
        report(database, plugins, run),
        report(database, plugins, run, with_machines=True),
    )
    assert (people.funnel.opened, people.funnel.clicked) == (0, 0)
    assert (everybody.funnel.opened, everybody.funnel.clicked) == (2, 1)


states = st.lists(
    st.tuples(st.sampled_from(MessageState), st.sampled_from([None, *Stage])), max_size=25
)


@settings(max_examples=15, deadline=None)
@given(states)
def test_the_parts_always_add_up(
    database: Database, plugins: Plugins, rows: list[tuple[MessageState, Stage | None]]
) -> None:
    tenant_id = create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Sums").id
    run = add_run(database, tenant_id, launched_at=LAUNCHED)
    customers = add_customers(database, tenant_id, len(rows)) if rows else []
    for customer, (state, stage) in zip(customers, rows, strict=True):
        needed = stage or Stage.POLICY if state is MessageState.EXCLUDED else None
        add_messages(database, run, [customer], state=state, stage=needed)
    found = report(database, plugins, run)
    taken = sum(line.count for line in found.volume.stages)
    assert taken + found.volume.control + found.volume.recipients == len(rows)
    funnel = found.funnel
    assert funnel.recipients == found.volume.recipients
    assert funnel.sent + funnel.not_sent + funnel.waiting == funnel.recipients
    assert sum(reason.count for reason in found.not_sent) == funnel.not_sent


def test_another_tenants_mailing_is_not_there(
    database: Database, plugins: Plugins, tenant_id: int, worked: LedgerRun
) -> None:
    with database.tenant_session(tenant_id) as session, pytest.raises(NotFoundError):
        report_of_mailing(session, plugins, tenant_id, worked.mailing_id)


def test_a_draft_has_no_report(database: Database, plugins: Plugins, tenant_id: int) -> None:
    run = add_run(database, tenant_id)
    with database.tenant_session(tenant_id) as session:
        session.execute(text("UPDATE mailing SET run_id = NULL, state = 0"))
        with pytest.raises(ConflictError):
            report_of_mailing(session, plugins, tenant_id, run.mailing_id)
