"""Reports that are kept with their run: when they are used, counted again, and dropped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text

from envoi.db import Database
from envoi.delivery.models import MessageState
from envoi.mailings.kept import ONCE_CLOSED, WHILE_OPEN, kept_report
from envoi.mailings.report import MailingReport, report_of_mailing
from envoi.plugins import Plugins
from envoi.receipts.attribution import attribute
from ledger_rows import NOW, LedgerRun, add_customers, add_messages, add_receipt, add_run

Opened = Callable[..., MailingReport]
LAUNCHED = NOW - timedelta(days=3)
CLOSED = LAUNCHED + timedelta(days=14)


@pytest.fixture
def run(database: Database, tenant_id: int) -> LedgerRun:
    """A run with both groups, whose window is open now."""
    run = add_run(database, tenant_id, launched_at=LAUNCHED)
    customers = add_customers(database, tenant_id, 80)
    add_messages(database, run, customers[:40])
    add_messages(database, run, customers[40:], state=MessageState.CONTROL)
    return run


@pytest.fixture
def opened(database: Database, plugins: Plugins, run: LedgerRun) -> Opened:
    """Opens the report at a moment, as one that is slow to count unless told otherwise."""

    def open_it(slow_seconds: float = 0.0, **options: object) -> MailingReport:
        with database.tenant_session(run.tenant_id) as session:
            asked = (session, plugins, run.tenant_id, run.mailing_id)
            return kept_report(*asked, slow_seconds=slow_seconds, **options)  # type: ignore[arg-type]

    return open_it


def another_message(database: Database, run: LedgerRun) -> None:
    add_messages(database, run, add_customers(database, run.tenant_id, 1))


def test_what_was_kept_is_what_was_counted(
    database: Database, plugins: Plugins, run: LedgerRun, opened: Opened
) -> None:
    for with_machines in (False, True):
        asked = {"now": NOW, "with_machines": with_machines}
        with database.tenant_session(run.tenant_id) as session:
            counted = report_of_mailing(
                session,
                plugins,
                run.tenant_id,
                run.mailing_id,
                now=NOW,
                with_machines=with_machines,
            )
        assert opened(**asked) == opened(**asked) == counted


@pytest.mark.parametrize(("opened_at", "fresh"), [(NOW, WHILE_OPEN), (CLOSED, ONCE_CLOSED)])
def test_a_kept_report_is_used_while_it_is_fresh(
    database: Database, run: LedgerRun, opened: Opened, opened_at: object, fresh: timedelta
) -> None:
    first = opened(now=opened_at)
    another_message(database, run)
    assert opened(now=opened_at + fresh / 2) == first  # type: ignore[operator]
    later = opened(now=opened_at + fresh)  # type: ignore[operator]
    assert later.funnel.recipients == first.funnel.recipients + 1
    assert later.as_of > first.as_of


def test_a_report_that_is_counted_quickly_is_always_live(
    database: Database, run: LedgerRun, opened: Opened
) -> None:
    before = opened(slow_seconds=60.0)
    another_message(database, run)
    assert opened(slow_seconds=60.0).funnel.recipients == before.funnel.recipients + 1


def test_a_closed_lift_is_kept_for_good_until_receipts_are_attributed_anew(
    database: Database, run: LedgerRun, opened: Opened
) -> None:
    first = opened(now=CLOSED)
    customer = add_customers(database, run.tenant_id, 1)
    add_messages(database, run, customer, opened_at=LAUNCHED, delivered_at=LAUNCHED)
    add_receipt(database, run.tenant_id, customer[0], LAUNCHED + timedelta(hours=2))
    assert opened(now=CLOSED + ONCE_CLOSED).lift == first.lift
    attribute(database, run.tenant_id, run.run_id)
    anew = opened(now=CLOSED + ONCE_CLOSED)
    assert (anew.lift.main.customers, anew.lift.main.buyers) == (41, 1)
    assert anew.sales.receipts == 1


def test_what_another_release_kept_is_counted_again(
    database: Database, run: LedgerRun, opened: Opened
) -> None:
    with database.tenant_connection(run.tenant_id) as connection:
        old = 'UPDATE run SET report = \'{"people": "{}"}\' WHERE tenant_id = :t AND id = :r'
        connection.execute(text(old), {"t": run.tenant_id, "r": run.run_id})
    assert opened().funnel.recipients == 40
