"""Promo codes: one for each message that leaves, the same one however often it is tried."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, func, text, update

from envoi.db import Database, table
from envoi.delivery.models import MessageState, Run, RunBlock, RunKind, RunStatus
from envoi.delivery.runs import get_run, resume_run
from envoi.delivery.sender import SenderSession
from envoi.delivery.sending import Engine
from envoi.errors import ConflictError, NotFoundError, ValidationFailedError
from envoi.installation import Installation
from envoi.plugin_settings import save_settings
from envoi.plugins import Plugins
from envoi.sending import MacroCheck, MacroRequest, NotIssuedError
from envoi.tenants.models import TenantSettings
from envoi.tenants.service import create_tenant
from envoi_module_promo_codes import groups, issuing
from envoi_module_promo_codes.settings import SETTINGS
from factories.delivery import a_run, an_installation, email_content, smtp_gateway, states
from smtp_sink import Script, SmtpSink

BODY = '<html><body>Your code: <b>{{ promo_code("Spring") }}</b></body></html>'
_CODE = re.compile(r"<b>([A-Z0-9-]+)</b>")


@pytest.fixture
def installation(database: Database, plugins: Plugins, tmp_path: Path) -> Installation:
    return an_installation(database, plugins, tmp_path)


def a_group(database: Database, tenant_id: int, codes: Sequence[str], name: str = "Spring") -> int:
    with database.tenant_session(tenant_id) as session:
        made = groups.create_group(session, tenant_id, name)
        if codes:
            groups.add_codes(session, tenant_id, made, codes)
    return made


def counts(database: Database, tenant_id: int, group_id: int) -> groups.Group:
    with database.tenant_session(tenant_id) as session:
        return groups.get_group(session, tenant_id, group_id)


def send(installation: Installation, run: Run) -> None:
    """Send what is due, and let observers write down what they see."""
    with SenderSession(installation.database, installation.settings.data_dir, 1) as sender:
        engine = Engine(installation, sender)
        engine.send_run(run.tenant_id, run.id, lambda: False)
        engine.connections.close_idle(0)
        assert engine.observers.settle(10)


def a_mailing(
    installation: Installation, tenant_id: int, port: int, people: int, **settings: Any
) -> Run:
    """A run to so many customers whose message holds a code."""
    with installation.database.tenant_session(tenant_id) as session:
        gateway = smtp_gateway(session, installation, tenant_id, port)
        content = email_content(BODY)
        return a_run(session, tenant_id, gateway, people, content=content, **settings)


def received(sink: SmtpSink) -> list[str]:
    """The codes that stand in the messages, in the order in which they came."""
    return [_code(message_from_bytes(taken.data)) for taken in sink.received]


def _code(message: Message) -> str:
    [html] = [part for part in message.walk() if part.get_content_type() == "text/html"]
    payload = html.get_payload(decode=True)
    assert isinstance(payload, bytes)
    found = _CODE.search(payload.decode())
    assert found is not None
    return found[1]


def make_due(database: Database, run: Run) -> None:
    """Let time pass until every waiting block is due."""
    c = table(RunBlock).c
    mine = update(table(RunBlock)).where(c.tenant_id == run.tenant_id, c.run_id == run.id)
    with database.tenant_session(run.tenant_id) as session:
        session.execute(mine.values(due_at=func.now()))


def test_every_message_has_a_code_of_its_own(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    group = a_group(database, tenant_id, [f"S-{n:03}" for n in range(40)])
    with SmtpSink() as sink:
        run = a_mailing(installation, tenant_id, sink.port, 30, block_size=7)
        send(installation, run)
        codes = received(sink)
    assert len(codes) == len(set(codes)) == 30
    found = counts(database, tenant_id, group)
    assert (found.total, found.remaining, found.issued, found.sent) == (40, 10, 30, 30)


def test_a_message_that_is_tried_again_keeps_its_code(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    group = a_group(database, tenant_id, ["A", "B", "C"])
    with SmtpSink(Script(rules=(("c-1@", "final 451 4.3.0 later"),))) as sink:
        run = a_mailing(installation, tenant_id, sink.port, 2)
        send(installation, run)
        refused = issued(database, run)
        assert counts(database, tenant_id, group).sent == 1
        sink.script = Script()
        make_due(database, run)
        send(installation, run)
        assert set(received(sink)) == set(refused.values())
    assert issued(database, run) == refused
    assert counts(database, tenant_id, group).issued == 2


def test_tests_and_previews_issue_nothing(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    group = a_group(database, tenant_id, ["A"])
    with SmtpSink() as sink:
        run = a_mailing(installation, tenant_id, sink.port, 3, kind=RunKind.TEST)
        send(installation, run)
        assert received(sink) == ["PROMO-CODE"] * 3
    assert counts(database, tenant_id, group).remaining == 1


def test_a_group_that_runs_dry_pauses_and_nothing_is_lost(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    group = a_group(database, tenant_id, ["A", "B", "C", "D", "E"])
    with SmtpSink() as sink:
        run = a_mailing(installation, tenant_id, sink.port, 9, block_size=3)
        send(installation, run)
        assert len(sink.recipients) == 3, "whole blocks leave, the next has too few codes"
        with database.tenant_session(tenant_id) as session:
            stopped = get_run(session, tenant_id, run.id)
            assert stopped.status == RunStatus.PAUSED
            assert "Spring has 2 promo codes left, and 3 messages are next" in stopped.pause_reason
            groups.add_codes(session, tenant_id, group, [f"M{n}" for n in range(9)])
            resume_run(session, tenant_id, run.id)
        send(installation, run)
        codes = received(sink)
    assert len(codes) == len(set(codes)) == 9
    assert set(states(database, tenant_id, run).values()) == {MessageState.ACCEPTED}


def said_of(
    database: Database, tenant_id: int, what: Callable[[MacroCheck], str], recipients: int = 0
) -> str:
    """What the macro says of the group before a mailing starts."""
    with database.tenant_session(tenant_id) as session:
        return what(
            MacroCheck(
                connection=session.connection(),
                tenant_id=tenant_id,
                argument="Spring",
                recipients=recipients,
            )
        )


def test_a_warning_comes_before_the_codes_run_out(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    group = a_group(database, tenant_id, [f"C{number}" for number in range(20)])
    with database.tenant_session(tenant_id) as session:
        groups.block_codes(session, tenant_id, group, ["C0"])
    assert "has 19 promo codes left" in said_of(database, tenant_id, issuing.warn), "of 100"
    with database.tenant_session(tenant_id) as session:
        save_settings(session, installation.settings, tenant_id, SETTINGS, {"few": "19"})
    assert said_of(database, tenant_id, issuing.warn, 19) == ""
    assert "and 20 customers get" in said_of(database, tenant_id, issuing.warn, 20)


@pytest.mark.parametrize(("zone", "is_over"), [("Etc/GMT+12", False), ("Etc/GMT-14", True)])
def test_the_last_day_is_the_companys(
    database: Database, tenant_id: int, zone: str, is_over: bool
) -> None:
    """The two zones are 26 hours apart, so that their days differ at any time."""
    last = datetime.now(ZoneInfo("Etc/GMT+12")).date()
    group = a_group(database, tenant_id, ["A"])
    with database.tenant_session(tenant_id) as session:
        groups.change_group(session, tenant_id, group, "Spring", last)
        session.execute(update(table(TenantSettings)).values(time_zone=zone))
    said = said_of(database, tenant_id, issuing.check)
    assert said.startswith("The promo codes of Spring have expired") is is_over


def test_a_code_of_nobody_is_no_code(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink() as sink:
        run = a_mailing(installation, tenant_id, sink.port, 2)
        send(installation, run)
        assert sink.recipients == []
    with database.tenant_session(tenant_id) as session:
        reason = get_run(session, tenant_id, run.id).pause_reason
        check = MacroCheck(connection=session.connection(), tenant_id=tenant_id, argument="Spring")
        assert issuing.check(check).startswith("There is no group")
    assert reason.startswith('The macro promo_code("Spring") gave nothing: There is no group')


def test_ten_thousand_issues_at_once_give_no_code_twice(database: Database, tenant_id: int) -> None:
    a_group(database, tenant_id, [])
    with database.tenant_session(tenant_id) as session:
        [group] = groups.list_groups(session, tenant_id)
        groups.generate_codes(session, tenant_id, group.id, "{string('A-Z0-9', 8)}", 10_000)

    def issue(block: int) -> dict[int, str]:
        with database.tenant_connection(tenant_id) as connection:
            customers = range(block * 100, block * 100 + 100)
            return dict(issuing.issue(request(connection, tenant_id, block % 3 + 1, customers)))

    with ThreadPoolExecutor(8) as pool:
        blocks = list(pool.map(issue, range(1, 101)))
    codes = [code for block in blocks for code in block.values()]
    assert len(codes) == len(set(codes)) == 10_000
    with (
        database.tenant_connection(tenant_id) as connection,
        pytest.raises(NotIssuedError, match="has 0 promo codes left"),
    ):
        issuing.issue(request(connection, tenant_id, 1, [1_000_000]))


def test_codes_are_unique_within_the_company_and_nobody_elses_business(
    database: Database, tenant_id: int
) -> None:
    first = a_group(database, tenant_id, ["A", "B"])
    second = a_group(database, tenant_id, [], "Summer")
    with database.tenant_session(tenant_id) as session:
        added = groups.add_codes(session, tenant_id, second, ["  B ", "C", "", "C"])
        assert added == groups.Added(1, 1)
    other = create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Greengrocer").id
    assert counts(database, other, a_group(database, other, ["A", "B"])).total == 2
    with database.tenant_session(other) as session:
        assert [g.total for g in groups.list_groups(session, other)] == [2]
        with pytest.raises(NotFoundError):
            groups.get_group(session, other, first)
        assert session.scalar(text("SELECT count(*) FROM promo_code")) == 2


def test_blocked_codes_are_never_issued(database: Database, tenant_id: int) -> None:
    group = a_group(database, tenant_id, ["A", "B", "C"])
    with database.tenant_session(tenant_id) as session:
        assert groups.block_codes(session, tenant_id, group, ["A", "C", "X"]) == 2
        assert dict(issuing.issue(request(session.connection(), tenant_id, 1, [7]))) == {7: "B"}
        with pytest.raises(NotIssuedError):
            issuing.issue(request(session.connection(), tenant_id, 1, [8]))
        assert groups.unblock_codes(session, tenant_id, group) == 2
        assert issuing.issue(request(session.connection(), tenant_id, 1, [7, 8]))[7] == "B"
        assert groups.block_codes(session, tenant_id, group, []) == 1


def test_any_number_of_codes_and_nonsense_can_be_named(database: Database, tenant_id: int) -> None:
    group = a_group(database, tenant_id, ["A", "B"])
    named = ["A", "a\0b", "\ud800", *map(str, range(70_000))]
    with database.tenant_session(tenant_id) as session:
        assert groups.block_codes(session, tenant_id, group, named) == 1


def test_what_has_expired_or_gone_is_not_issued(database: Database, tenant_id: int) -> None:
    group = a_group(database, tenant_id, ["A", "B"])
    yesterday = date.today() - timedelta(days=2)
    with database.tenant_session(tenant_id) as session:
        asked = request(session.connection(), tenant_id, 1, [7])
        issuing.issue(asked)
        groups.change_group(session, tenant_id, group, "Spring", yesterday)
        with pytest.raises(NotIssuedError, match="have expired"):
            issuing.issue(asked)
        groups.delete_group(session, tenant_id, group)
        with pytest.raises(NotIssuedError, match="no group"):
            issuing.issue(asked)
        assert issuing.recall(asked) == {7: "A"}, "who has it can still read it"
        assert groups.list_groups(session, tenant_id) == []


def test_wrong_groups_and_codes_are_refused(database: Database, tenant_id: int) -> None:
    group = a_group(database, tenant_id, ["A"])
    with database.tenant_session(tenant_id) as session:
        for lines in ([], ["two words"], ["x" * 65]):
            with pytest.raises(ValidationFailedError):
                groups.add_codes(session, tenant_id, group, lines)
        for written, quantity in (("{string('0-9', 2)}", 101), ("{string('0-9', 2)}", 0)):
            with pytest.raises(ValidationFailedError):
                groups.generate_codes(session, tenant_id, group, written, quantity)
        for name in ("", 'a"b', "x" * 61):
            with pytest.raises(ValidationFailedError):
                groups.create_group(session, tenant_id, name)
        groups.generate_codes(session, tenant_id, group, "{string('A-C', 1)}", 2)
    assert counts(database, tenant_id, group).total == 3
    with (
        pytest.raises(ConflictError, match="already"),
        database.tenant_session(tenant_id) as session,
    ):
        groups.create_group(session, tenant_id, "Spring")
    with (
        pytest.raises(ValidationFailedError, match="only 0 codes"),
        database.tenant_session(tenant_id) as session,
    ):
        groups.generate_codes(session, tenant_id, group, "{string('A-C', 1)}", 1)


def request(
    connection: Connection, tenant_id: int, run_id: int, customers: Iterable[int]
) -> MacroRequest:
    """What the macro is asked for these customers of a run."""
    return MacroRequest(
        connection=connection,
        tenant_id=tenant_id,
        run_id=run_id,
        mailing_id=None,
        argument="Spring",
        customer_ids=list(customers),
    )


def issued(database: Database, run: Run) -> dict[int, str]:
    """Who has which code of a run."""
    with database.tenant_session(run.tenant_id) as session:
        customers = states(database, run.tenant_id, run).keys()
        connection = session.connection()
        return dict(issuing.recall(request(connection, run.tenant_id, run.id, customers)))
