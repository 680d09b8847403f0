"""Test messages and watchers' copies: really sent, to anybody, counted nowhere."""

from __future__ import annotations

import email
from collections.abc import Iterator
from copy import deepcopy
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from envoi.db import Database, table
from envoi.delivery.copies import CopyState, copies_of, send_copies
from envoi.delivery.models import Message, Run, RunKind, RunStatus
from envoi.errors import NotFoundError, ValidationFailedError
from envoi.installation import Installation
from envoi.jobs import Work
from envoi.mailings import copies, variants
from envoi.mailings.content_checks import content_checks
from envoi.mailings.launch import launch_draft
from envoi.mailings.service import create_draft, get_mailing
from envoi.plugins import Plugins
from envoi.segments.service import create_segment
from envoi.tenants.models import DueWork, WatcherGroup
from envoi.tenants.service import tenant_settings
from envoi.types import AddressKind
from factories.customers import customer_ids, make_customers
from factories.delivery import an_installation, smtp_gateway
from ledger_rows import NOW
from smtp_sink import Script, SmtpSink

CONTENT: dict[str, Any] = {
    "subject": "News for {{ client.properties.first_name | default('nobody') }}",
    "body_format": "blocks",
    "blocks": [
        {"type": "text", "id": "a", "html": "<p>Hello {{ client.properties.city }}</p>"},
        {"type": "button", "id": "b", "label": "Shop", "link": "https://shop.test/?utm_source=own"},
        {"type": "footer", "id": "c", "address": "Street 1"},
    ],
    "sender_address": "news@fieldmarket.test",
}


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    script = Script(rules=((r"bad@.*", "550 5.1.1 unknown"), (r"drop@.*", "drop_after")))
    with SmtpSink(script) as sink:
        yield sink


@pytest.fixture
def installation(database: Database, plugins: Plugins, tmp_path: Path) -> Installation:
    return an_installation(database, plugins, tmp_path)


@pytest.fixture
def draft(installation: Installation, tenant_id: int, sink: SmtpSink) -> int:
    with installation.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 3)
        smtp_gateway(session, installation, tenant_id, sink.port)
        settings = tenant_settings(session, tenant_id)
        settings.utm = {"utm_source": "envoi", "utm_campaign": "m{mailing_id}v{variant}"}
        segment = create_segment(
            session,
            tenant_id,
            name="All",
            tree={"all": [{"source": "all_customers", "settings": {}}]},
            plugins=installation.plugins,
        )
        made = create_draft(session, tenant_id, channel="email", name="News", segment_id=segment.id)
        variants.save_content(session, tenant_id, made.id, made.version, CONTENT)
        return made.id


def a_test(installation: Installation, tenant_id: int, draft: int, **options: Any) -> int:
    with installation.database.tenant_session(tenant_id) as session:
        run = copies.send_test(
            session, installation.plugins, installation.settings, tenant_id, draft, **options
        )
        run_id = run.id
    send_copies(installation, tenant_id, run_id)
    return run_id


def read(sink: SmtpSink) -> list[EmailMessage]:
    return [
        email.message_from_bytes(one.data, _class=EmailMessage, policy=policy.default)
        for one in sink.received
    ]


def words(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def test_a_test_is_really_sent_and_counted_nowhere(
    installation: Installation, tenant_id: int, draft: int, sink: SmtpSink
) -> None:
    with installation.database.tenant_session(tenant_id) as session:
        customer = customer_ids(session, tenant_id)[0]
        made = get_mailing(session, tenant_id, draft)
        variants.add_variant(session, tenant_id, draft, made.version)
    addresses = ["Anna@Shop.test", "bad@shop.test", "drop@shop.test"]
    run_id = a_test(
        installation, tenant_id, draft, addresses=addresses, numbers=(1, 2), customer_id=customer
    )
    with installation.database.tenant_session(tenant_id) as session:
        found = copies_of(copies.get_test(session, tenant_id, draft, run_id))
        run = session.get(Run, (tenant_id, run_id))
        assert run is not None
        assert (run.kind, run.status) == (RunKind.TEST, RunStatus.SENT)
        count = select(func.count()).select_from(table(Message))
        assert session.scalar(count.where(table(Message).c.tenant_id == tenant_id)) == 0
        due = select(table(DueWork).c.kind).where(table(DueWork).c.tenant_id == tenant_id)
        assert Work.COPIES not in set(session.scalars(due))
        assert get_mailing(session, tenant_id, draft).run_id is None
    assert found.done
    assert [(c.address, c.variant, c.state) for c in found.copies] == [
        (address, variant, state)
        for variant in (1, 2)
        for address, state in (
            ("Anna@shop.test", CopyState.SENT),
            ("bad@shop.test", CopyState.FAILED),
            ("drop@shop.test", CopyState.UNCONFIRMED),
        )
    ]
    assert "5.1.1" in found.copies[1].detail
    first = next(m for m in read(sink) if m["To"] == "Anna@shop.test")
    assert first["Subject"].startswith("[Test] News for ")
    assert "nobody" not in first["Subject"]
    assert len({one.message_id for one in sink.received}) == len(sink.received)


def test_a_test_without_a_customer(
    installation: Installation, tenant_id: int, draft: int, sink: SmtpSink
) -> None:
    a_test(installation, tenant_id, draft, addresses=["anna@shop.test"])
    [message] = read(sink)
    assert message["Subject"] == "[Test] News for nobody"
    assert "Hello" in words(message)


def test_what_keeps_a_test_from_being_sent(
    installation: Installation, tenant_id: int, draft: int
) -> None:
    for options, said in (
        ({"addresses": ["nobody"]}, "no email address"),
        ({"addresses": []}, "Nobody is chosen"),
        ({"addresses": [f"a{n}@b.test" for n in range(51)]}, "at most 50"),
    ):
        with pytest.raises(ValidationFailedError, match=said):
            a_test(installation, tenant_id, draft, **options)
    with pytest.raises(NotFoundError):
        a_test(installation, tenant_id, draft, addresses=["a@b.test"], numbers=[3])
    with pytest.raises(NotFoundError):
        a_test(installation, tenant_id, draft, addresses=["a@b.test"], customer_id=2**40)
    with installation.database.tenant_session(tenant_id) as session:
        made = get_mailing(session, tenant_id, draft)
        blocks = [{"type": "image", "id": "a", "src": "https://s.test/a.png"}]
        variants.save_content(session, tenant_id, draft, made.version, {"blocks": blocks})
    with pytest.raises(ValidationFailedError) as refusal:
        a_test(installation, tenant_id, draft, addresses=["a@b.test"])
    assert [p.field for p in refusal.value.problems] == ["blocks.0.alt"]


def test_a_gateway_that_is_away_fails_the_copies(
    installation: Installation, tenant_id: int, draft: int
) -> None:
    with installation.database.tenant_session(tenant_id) as session:
        smtp_gateway(session, installation, tenant_id, 1)
    run_id = a_test(installation, tenant_id, draft, addresses=["a@b.test", "c@b.test"])
    with installation.database.tenant_session(tenant_id) as session:
        found = copies_of(copies.get_test(session, tenant_id, draft, run_id))
    assert {c.state for c in found.copies} == {CopyState.FAILED}
    assert "cannot be reached" in found.copies[0].detail


def test_what_was_on_the_way_is_not_sent_again(
    installation: Installation, tenant_id: int, draft: int, sink: SmtpSink
) -> None:
    with installation.database.tenant_session(tenant_id) as session:
        run = copies.send_test(
            session,
            installation.plugins,
            installation.settings,
            tenant_id,
            draft,
            addresses=["a@b.test", "c@b.test"],
        )
        kept = deepcopy(run.volume)
        kept["copies"][0]["state"] = "sending"
        run.volume = kept
        run_id = run.id
    send_copies(installation, tenant_id, run_id)
    send_copies(installation, tenant_id, run_id)
    with installation.database.tenant_session(tenant_id) as session:
        found = copies_of(copies.get_test(session, tenant_id, draft, run_id))
    assert [c.state for c in found.copies] == [CopyState.UNCONFIRMED, CopyState.SENT]
    assert sink.recipients == ["c@b.test"]


def test_watchers_get_a_copy_once_with_the_launch(
    installation: Installation, tenant_id: int, draft: int, sink: SmtpSink
) -> None:
    with installation.database.tenant_session(tenant_id) as session:
        group = WatcherGroup(tenant_id=tenant_id, name="W", emails=["boss@shop.test"])
        session.add(group)
        session.flush()
        get_mailing(session, tenant_id, draft).watcher_group_id = group.id
        found = copies.chosen_addresses(
            session,
            tenant_id,
            AddressKind.EMAIL,
            typed="a@b.test; c@d.test\n a@b.test",
            watcher_group_id=group.id,
        )
        assert found == ["a@b.test", "c@d.test", "boss@shop.test"]
        launch_draft(session, installation.plugins, installation.settings, tenant_id, draft, NOW)
        c = table(Run).c
        of_tests = select(c.id).where(c.tenant_id == tenant_id, c.kind == RunKind.TEST)
        [run_id] = session.scalars(of_tests)
    send_copies(installation, tenant_id, run_id)
    [message] = read(sink)
    assert (message["To"], message["Subject"]) == ("boss@shop.test", "[Copy] News for nobody")


def test_advice_on_a_message(installation: Installation, tenant_id: int, draft: int) -> None:
    def advised(**content: Any) -> set[str]:
        with installation.database.tenant_session(tenant_id) as session:
            made = get_mailing(session, tenant_id, draft)
            variants.save_content(session, tenant_id, draft, made.version, content)
            checks = content_checks(session, installation.plugins, made)
            assert all(check.warning for check in checks)
            return {check.name for check in checks if not check.ok}

    assert advised(preheader="More") == set()
    assert advised(preheader="") == {"preheader"}
    bad = (
        "<html><body><img src='https://s.test/a.png'><a href=''>x</a>{{ client.fields.nothing }}"
        + "<p>word</p>" * 12_000
    )
    assert advised(body_format="html", body=bad, preheader="x") == {
        "alternatives",
        "links",
        "size",
        "unsubscribe",
        "variables",
    }
