"""Reports of large runs: counted in the background, shown at once, counted again when old."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from envoi.db import Database
from envoi.delivery.models import MessageState, RunStatus
from envoi.delivery.runs import finish_if_done
from envoi.jobs import Work, due
from envoi.mailings.kept import (
    LARGE_RUN,
    ONCE_CLOSED,
    WHILE_OPEN,
    WHILE_SENDING,
    count_report,
    report_to_show,
)
from envoi.mailings.report import MailingReport, report_of_mailing
from envoi.plugins import Plugins
from envoi.receipts.attribution import attribute
from ledger_rows import NOW, LedgerRun, add_customers, add_messages, add_receipt, add_run

Shown = Callable[..., MailingReport | None]
LAUNCHED = NOW - timedelta(days=3)
CLOSED = LAUNCHED + timedelta(days=14)
SET = "UPDATE run SET {} WHERE tenant_id = :t AND id = :r"


@pytest.fixture
def run(database: Database, tenant_id: int) -> LedgerRun:
    """A run with both groups, whose window is open now."""
    run = add_run(database, tenant_id, launched_at=LAUNCHED)
    customers = add_customers(database, tenant_id, 80)
    add_messages(database, run, customers[:40])
    add_messages(database, run, customers[40:], state=MessageState.CONTROL)
    return run


@pytest.fixture
def large(database: Database, run: LedgerRun) -> LedgerRun:
    """The same run, whose collection says that it has very many customers."""
    counted = {"lines": [], "strata": [], "variants": [], "computed_at": NOW.isoformat()}
    sizes = dict.fromkeys(("eligible", "control", "recipients", "deferred"), 0)
    change(database, run, "volume = CAST(:v AS jsonb)", v=counted | sizes | {"segment": LARGE_RUN})
    return run


@pytest.fixture
def shown(database: Database, plugins: Plugins, run: LedgerRun) -> Shown:
    """Opens the report as the page does."""

    def open_it(**options: object) -> MailingReport | None:
        with database.tenant_session(run.tenant_id) as session:
            asked = (session, plugins, run.tenant_id, run.mailing_id)
            return report_to_show(*asked, **options)  # type: ignore[arg-type]

    return open_it


def change(database: Database, run: LedgerRun, what: str, **values: object) -> None:
    given = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in values.items()}
    with database.tenant_connection(run.tenant_id) as connection:
        connection.execute(text(SET.format(what)), {"t": run.tenant_id, "r": run.run_id} | given)


def is_due(database: Database, run: LedgerRun) -> bool:
    with database.system_session() as session:
        found = due(session, [Work.REPORT], limit=1_000)
    return (run.tenant_id, Work.REPORT.value, run.run_id) in found


def counted_now(database: Database, plugins: Plugins, run: LedgerRun) -> MailingReport:
    with database.tenant_session(run.tenant_id) as session:
        return report_of_mailing(session, plugins, run.tenant_id, run.mailing_id)


def another_message(database: Database, run: LedgerRun) -> None:
    add_messages(database, run, add_customers(database, run.tenant_id, 1))


def test_nobody_waits_for_the_first_report_of_a_large_run(
    database: Database, plugins: Plugins, large: LedgerRun, shown: Shown
) -> None:
    assert shown() is None
    assert is_due(database, large)
    count_report(database, plugins, large.tenant_id, large.run_id)
    assert not is_due(database, large)
    for with_machines in (False, True):
        found = shown(with_machines=with_machines)
        assert found is not None
        assert found.with_machines is with_machines
        with database.tenant_session(large.tenant_id) as session:
            where = (session, plugins, large.tenant_id, large.mailing_id)
            again = report_of_mailing(*where, now=found.as_of, with_machines=with_machines)
        assert found == again
    assert not is_due(database, large)


@pytest.mark.parametrize(
    ("finished", "opened_at", "fresh"),
    [
        (False, NOW, WHILE_SENDING),
        (True, NOW, WHILE_OPEN),
        (True, CLOSED, ONCE_CLOSED),
    ],
)
def test_an_old_report_is_shown_and_counted_again_behind_it(
    database: Database,
    plugins: Plugins,
    large: LedgerRun,
    shown: Shown,
    finished: bool,
    opened_at: datetime,
    fresh: timedelta,
) -> None:
    days = 1 if opened_at == CLOSED else 14
    change(database, large, f"settings = settings || '{{\"attribution_days\": {days}}}'")
    if not finished:
        change(database, large, "finished_at = NULL")
    shown()
    count_report(database, plugins, large.tenant_id, large.run_id)
    first = shown()
    assert first is not None
    another_message(database, large)
    assert shown(now=first.as_of + fresh / 2) == first
    assert not is_due(database, large)
    assert shown(now=first.as_of + fresh) == first
    assert is_due(database, large)
    count_report(database, plugins, large.tenant_id, large.run_id)
    later = shown()
    assert later is not None
    assert later.funnel.recipients == first.funnel.recipients + 1


def test_who_asks_while_it_is_counted_does_not_have_it_counted_twice(
    database: Database, large: LedgerRun, shown: Shown
) -> None:
    shown()
    with database.tenant_connection(large.tenant_id) as connection:
        begun = "UPDATE due_work SET due_at = now() + interval '9 minutes' WHERE tenant_id = :t"
        connection.execute(text(begun), {"t": large.tenant_id})
    assert shown() is None
    assert not is_due(database, large)


def test_what_is_not_due_is_not_counted(
    database: Database, plugins: Plugins, large: LedgerRun, shown: Shown
) -> None:
    count_report(database, plugins, large.tenant_id, large.run_id)
    assert shown() is None


def test_newer_receipts_are_in_the_report_after_their_attribution(
    database: Database, plugins: Plugins, large: LedgerRun, shown: Shown
) -> None:
    shown()
    count_report(database, plugins, large.tenant_id, large.run_id)
    [customer] = add_customers(database, large.tenant_id, 1)
    add_messages(database, large, [customer], opened_at=LAUNCHED, delivered_at=LAUNCHED)
    add_receipt(database, large.tenant_id, customer, LAUNCHED + timedelta(hours=2))
    attribute(database, large.tenant_id)
    old = shown()
    assert old is not None
    assert old.sales.receipts == 0
    assert is_due(database, large)
    count_report(database, plugins, large.tenant_id, large.run_id)
    new = shown()
    assert new is not None
    assert new.sales == counted_now(database, plugins, large).sales
    assert (new.sales.receipts, new.lift.main.buyers) == (1, 1)


def test_a_run_that_ends_has_its_report_counted(
    database: Database, large: LedgerRun, shown: Shown
) -> None:
    change(database, large, f"finished_at = NULL, status = {int(RunStatus.SENDING)}")
    with database.tenant_session(large.tenant_id) as session:
        assert finish_if_done(session, large.tenant_id, large.run_id)
    assert is_due(database, large)


def test_a_report_that_is_counted_quickly_is_always_live(
    database: Database, run: LedgerRun, shown: Shown
) -> None:
    before = shown(slow_seconds=60.0)
    another_message(database, run)
    after = shown(slow_seconds=60.0)
    assert before is not None
    assert after is not None
    assert after.funnel.recipients == before.funnel.recipients + 1
    assert not is_due(database, run)


def test_a_small_run_whose_report_was_slow_once_is_kept_from_then_on(
    database: Database, run: LedgerRun, shown: Shown
) -> None:
    before = shown(slow_seconds=0.0)
    another_message(database, run)
    assert shown() == before


def test_what_another_release_kept_is_counted_again(
    database: Database, plugins: Plugins, run: LedgerRun, shown: Shown
) -> None:
    change(database, run, 'report = \'{"people": "{}"}\'')
    assert shown() is None
    count_report(database, plugins, run.tenant_id, run.run_id)
    found = shown()
    assert found is not None
    assert found.funnel.recipients == 40
