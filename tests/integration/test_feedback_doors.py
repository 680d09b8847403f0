"""The ways in for bounces and complaints: listener, mailbox, webhook, and refusals at hand-over."""

from __future__ import annotations

import json
import os
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import Client

from envoi.customers.models import Customer, Quality
from envoi.db import Database, connect, table
from envoi.delivery.models import MessageState, Run, Stage
from envoi.delivery.sender import SenderSession
from envoi.delivery.sending import Engine
from envoi.errors import ConfigurationError
from envoi.feedback import listener
from envoi.feedback.intake import Intake
from envoi.feedback.listener import Receiving, keep_signed
from envoi.feedback.mailbox import keep_reading, mailbox_of, read_mailbox
from envoi.feedback.models import Bounce, Door, DoorSign, Fault, Inbound, InboundState
from envoi.feedback.webhook import PATH, Webhook, make_webhook, sign, webhook_of
from envoi.installation import Installation
from envoi.mailings import service
from envoi.mailings.audience import estimate_mailing
from envoi.plugins import Plugins
from envoi.segments.service import create_segment
from envoi.tenants.service import create_tenant
from envoi.tracking.app import TrackingApp
from envoi.tracking.tokens import TokenSigner
from factories.delivery import a_run, a_run_through, an_installation, states
from factories.feedback import messages, sample
from imap_server import ImapServer
from listening import listening
from processes import wait_until
from smtp_sink import Script, SmtpSink


@pytest.fixture
def installation(
    database: Database, plugins: Plugins, tmp_path: Path, free_port: int
) -> Installation:
    return an_installation(database, plugins, tmp_path, inbound_port=free_port)


@pytest.fixture
def intake(database: Database, signer: TokenSigner) -> Intake:
    return Intake(database, signer)


def send(installation: Installation, tenant_id: int, run: Run) -> None:
    data_dir = installation.settings.data_dir
    with SenderSession(installation.database, data_dir, 1) as sender:
        engine = Engine(installation, sender)
        engine.send_run(tenant_id, run.id, lambda: False)
        engine.connections.close_idle(0)


def rows(database: Database, tenant_id: int, model: Any) -> Sequence[Any]:
    found = table(model)
    with database.tenant_session(tenant_id) as session:
        return session.execute(select(found).where(found.c.tenant_id == tenant_id)).all()


def qualities(database: Database, tenant_id: int) -> list[int]:
    c = table(Customer).c
    query = select(c.email_quality).where(c.tenant_id == tenant_id).order_by(c.id)
    with database.tenant_session(tenant_id) as session:
        return list(session.scalars(query))


def everybody(database: Database, plugins: Plugins, tenant_id: int) -> int:
    """A mailing to all customers, not started."""
    with database.tenant_session(tenant_id) as session:
        tree = {"all": [{"source": "all_customers", "settings": {}}]}
        segment = create_segment(session, tenant_id, name="All", tree=tree, plugins=plugins)
        made = service.create_draft(
            session, tenant_id, channel="email", name="Next", segment_id=segment.id
        )
        return made.id


def test_from_the_sink_to_the_next_mailing(
    installation: Installation, intake: Intake, database: Database, plugins: Plugins, tenant_id: int
) -> None:
    """A message leaves, its bounce comes to the listener, the next mailing leaves them out."""
    mailing = everybody(database, plugins, tenant_id)
    with SmtpSink() as sink:
        run = a_run_through(installation, tenant_id, sink.port, 3)
        send(installation, tenant_id, run)
    left = sink.received[1]
    key = left.mail_from.partition("@")[0].removeprefix("b+")
    bounce = sample("postfix_user_unknown", key, left.rcpt)
    with (
        listening(installation, intake) as receiving,
        smtplib.LMTP("127.0.0.1", installation.settings.inbound_port) as client,
    ):
        assert client.sendmail("", [left.mail_from], bounce) == {}
        assert receiving.received
    assert sorted(qualities(database, tenant_id)) == [0, 0, Quality.NOT_EXISTING]
    with database.tenant_session(tenant_id) as session:
        volume = estimate_mailing(session, plugins, tenant_id, mailing)
    assert (volume.segment, volume.recipients) == (3, 2)
    [line] = [line for line in volume.lines if line.count]
    assert (line.stage, line.details) == (Stage.ADDRESS_ISSUE, {"quality": 1})


def test_smtp_and_several_recipients(
    installation: Installation,
    intake: Intake,
    database: Database,
    tenant_id: int,
    signer: TokenSigner,
) -> None:
    with database.tenant_session(tenant_id) as session:
        run = a_run(session, tenant_id, None, 2)
    key = signer.message_key(messages(database, run)[0])
    raw = sample("qmail_over_quota", key)
    port = installation.settings.inbound_port
    with listening(installation, intake):
        with smtplib.SMTP("127.0.0.1", port) as client:
            assert client.sendmail("", ["fbl@envoi.test", f"B+{key.upper()}@envoi.test"], raw) == {}
        with smtplib.LMTP("127.0.0.1", port) as client:
            client.ehlo()
            client.mail("")
            for recipient in ("one@envoi.test", "two@envoi.test"):
                client.rcpt(recipient)
            assert [client.data(raw)[0], client.getreply()[0], client.noop()[0]] == [250] * 3
    assert [one.door for one in rows(database, tenant_id, Inbound)] == [Door.LISTENER]
    assert [one.fault for one in rows(database, tenant_id, Bounce)] == [Fault.SOFT]


def test_while_the_database_is_away_the_other_side_tries_again(
    installation: Installation, signer: TokenSigner, free_port: int
) -> None:
    away = connect("postgresql://nobody@127.0.0.1:1/none", connect_args={"connect_timeout": 1})
    with (
        listening(installation, Intake(away, signer)),
        smtplib.SMTP("127.0.0.1", free_port) as client,
        pytest.raises(smtplib.SMTPDataError) as refused,
    ):
        client.sendmail("", ["b@envoi.test"], b"Subject: x\r\n\r\nx")
    assert refused.value.smtp_code == 451
    away.engine.dispose()


def test_who_finds_no_place_is_told_to_come_again(
    database: Database, plugins: Plugins, tmp_path: Path, free_port: int, intake: Intake
) -> None:
    site = an_installation(
        database, plugins, tmp_path, inbound_port=free_port, inbound_connections=2
    )
    with listening(site, intake):
        guests = [smtplib.LMTP("127.0.0.1", free_port) for _ in range(2)]
        with pytest.raises(smtplib.SMTPConnectError) as refused:
            smtplib.LMTP("127.0.0.1", free_port)
        assert refused.value.smtp_code == 421
        assert [guest.noop()[0] for guest in guests] == [250, 250]
        guests.pop().close()
        wait_until(lambda: greets(free_port), seconds=10, what="a free place")
        guests.pop().close()


def greets(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        return client.recv(3) == b"220"


def test_who_says_nothing_leaves_the_place(
    installation: Installation, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "IDLE_SECONDS", 0.3)
    address = ("127.0.0.1", installation.settings.inbound_port)
    with listening(installation, intake), socket.create_connection(address, 10) as client:
        client.sendall(b"EHLO somebody.test\r\n")
        while client.recv(1_000):
            pass


def test_recipients_and_bytes_are_bounded(
    installation: Installation, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "MOST_BYTES", 100_000)
    monkeypatch.setattr(listener, "MOST_DRAINED", 400_000)
    port = installation.settings.inbound_port
    with listening(installation, intake), smtplib.SMTP("127.0.0.1", port) as client:
        client.ehlo()
        client.mail("")
        replies = [client.rcpt(f"b{n}@envoi.test")[0] for n in range(102)]
        assert (replies[:100], replies[100:]) == ([250] * 100, [452] * 2)
        assert client.data(b"x\r\n" * 40_000)[0] == 552
        client.mail("", ["SIZE=100001"])
        assert client.rcpt("b@envoi.test")[0] == 503


def test_a_line_without_end_is_cut_off(
    installation: Installation, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "MOST_DRAINED", 400_000)
    address = ("127.0.0.1", installation.settings.inbound_port)
    endless = b"x" * 20_000_000
    with listening(installation, intake), socket.create_connection(address, 10) as client:
        client.sendall(b"EHLO x.test\r\nMAIL FROM:<>\r\nRCPT TO:<b@envoi.test>\r\nDATA\r\n")
        with pytest.raises(ConnectionError):
            client.sendall(endless)


def test_the_listener_as_a_process(
    installation: Installation, postgres_url: str, tmp_path: Path
) -> None:
    port = installation.settings.inbound_port
    environment = {
        **os.environ,
        "ENVOI_DATABASE_URL": postgres_url,
        "ENVOI_DATA_DIR": str(tmp_path),
        "ENVOI_INBOUND_PORT": str(port),
    }
    command = [sys.executable, "-m", "envoi", "listener"]
    process = subprocess.Popen(command, env=environment)
    try:
        wait_until(lambda: answers(port), seconds=60, what="the listener")
        with smtplib.LMTP("127.0.0.1", port) as client:
            assert client.sendmail("", ["b@envoi.test"], b"Subject: x\r\n\r\nx") == {}
    finally:
        process.terminate()
        status = process.wait(15)
    assert status == 0


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_the_listener_says_that_it_lives(database: Database, intake: Intake) -> None:
    receiving, stopping = Receiving(intake), threading.Event()
    stopping.set()
    receiving.received = True
    keep_signed(database, receiving, stopping)
    with database.system_session() as session:
        sign_ = session.get_one(DoorSign, "listener")
    assert sign_.looked_at is not None
    assert sign_.received_at is not None
    assert not receiving.received


def test_the_mailbox_is_read_once(
    intake: Intake, database: Database, tenant_id: int, signer: TokenSigner
) -> None:
    with database.tenant_session(tenant_id) as session:
        run = a_run(session, tenant_id, None, 2)
    keys = [signer.message_key(ref) for ref in messages(database, run)]
    with ImapServer(
        [sample("gmail_no_such_user", keys[0]), sample("reply_german", keys[1])]
    ) as imap:
        mailbox = mailbox_of(f"imap://bounces:secret@127.0.0.1:{imap.port}/INBOX")
        assert read_mailbox(intake, mailbox) == 2
        assert imap.seen == {1, 2}
        assert read_mailbox(intake, mailbox) == 0
    assert len(rows(database, tenant_id, Inbound)) == 2
    assert [one.door for one in rows(database, tenant_id, Bounce)] == [Door.MAILBOX]


def test_a_message_that_no_database_holds_keeps_no_other_one_waiting(
    intake: Intake, database: Database, tenant_id: int, signer: TokenSigner
) -> None:
    """Half a character in an address, from a charset that can spell one."""
    with database.tenant_session(tenant_id) as session:
        run = a_run(session, tenant_id, None, 1)
    hostile = (
        b"From: MAILER-DAEMON@x.test\r\nSubject: Undelivered Mail\r\nReturn-Path: <>\r\n"
        b"Content-Type: text/plain; charset=unicode_escape\r\n\r\n"
        b"<a\\ud800b@x.test> 550 5.1.1 no such user\r\n"
    )
    (ref,) = messages(database, run)
    genuine = sample("gmail_no_such_user", signer.message_key(ref))
    with ImapServer([hostile, genuine]) as imap:
        mailbox = mailbox_of(f"imap://bounces:secret@127.0.0.1:{imap.port}/INBOX")
        assert read_mailbox(intake, mailbox) == 2
    assert len(rows(database, tenant_id, Bounce)) == 1
    fate = intake.receive(hostile, Door.LISTENER, "a\udcff@x.test")
    assert fate.state == InboundState.QUARANTINED


def test_what_troubles_the_mailbox_is_said(intake: Intake, database: Database) -> None:
    stopping = threading.Event()
    stopping.set()
    with ImapServer([]) as imap:
        wrong = mailbox_of(f"imap://bounces:wrong@127.0.0.1:{imap.port}/INBOX")
        keep_reading(intake, wrong, 60, stopping)
    with database.system_session() as session:
        assert "wrong password" in session.get_one(DoorSign, "mailbox").trouble


def test_an_address_of_a_mailbox_is_checked() -> None:
    found = mailbox_of("imaps://b%40x.test:p%2Fw@imap.x.test/Bounces")
    assert (found.port, found.user, found.password) == (993, "b@x.test", "p/w")
    assert "p/w" not in repr(found)
    for wrong in ("", "imap.x.test", "http://a:b@c/", "imaps://host/INBOX", "imaps://a:b@c:99999/"):
        with pytest.raises(ConfigurationError, match="ENVOI_MAILBOX_URL"):
            mailbox_of(wrong)


@pytest.fixture
def client(database: Database, signer: TokenSigner, plugins: Plugins) -> Iterator[Client]:
    app = TrackingApp(database, signer, plugins)
    yield Client(app)
    app.close()


@pytest.fixture
def webhook(database: Database, tenant_id: int, signer: TokenSigner) -> Webhook:
    with database.tenant_session(tenant_id) as session:
        return make_webhook(session, signer, tenant_id, 1)


def post(client: Client, webhook: Webhook, body: bytes, *, age: float = 0, **changes: Any) -> int:
    stamp = str(int(time.time() - age))
    headers = {
        "X-Envoi-Timestamp": stamp,
        "X-Envoi-Signature": "sha256=" + sign(changes.get("secret", webhook.secret), stamp, body),
    }
    sent = changes.get("sent", body)
    media_type = changes.get("media_type", "application/json")
    path = PATH + changes.get("key", webhook.key)
    return client.post(path, data=sent, headers=headers, content_type=media_type).status_code


def test_a_signed_webhook_is_written(
    client: Client, webhook: Webhook, database: Database, tenant_id: int, signer: TokenSigner
) -> None:
    with database.tenant_session(tenant_id) as session:
        run = a_run(session, tenant_id, None, 3)
    keys = [signer.message_key(ref) for ref in messages(database, run)]
    events = [
        {"type": "bounced", "message_id": f"<{keys[0]}@envoi.test>", "status": "5.1.1"},
        {"type": "complained", "message_id": keys[1]},
        {"type": "delivered", "message_id": "<unknown@elsewhere.test>"},
    ]
    body = json.dumps({"events": events}).encode()
    for _ in range(3):
        assert post(client, webhook, body) == 200
    raw = sample("yahoo_over_quota", keys[2])
    assert post(client, webhook, raw, media_type="message/rfc822") == 200
    assert post(client, webhook, b"no json") == 202
    assert qualities(database, tenant_id) == [32, 36, 0]
    kept = rows(database, tenant_id, Inbound)
    assert sorted(one.reason for one in kept) == ["", "", "", "broken", "no_message"]


@pytest.mark.parametrize(
    "event",
    [
        {"occurred_at": "0001-01-01T00:00:00Z"},
        {"occurred_at": "9999-12-31T23:59:59Z"},
        {"recipient": "a\0b@x.test"},
        {"status": "\0", "reason": "\0"},
    ],
)
def test_a_strange_event_takes_no_other_one_along(
    client: Client,
    webhook: Webhook,
    database: Database,
    tenant_id: int,
    signer: TokenSigner,
    event: dict[str, str],
) -> None:
    with database.tenant_session(tenant_id) as session:
        run = a_run(session, tenant_id, None, 1)
    (ref,) = messages(database, run)
    strange = {"type": "bounced", "recipient": "nobody@x.test"} | event
    genuine = {"type": "bounced", "message_id": signer.message_key(ref), "status": "5.1.1"} | (
        {"occurred_at": event["occurred_at"]} if "occurred_at" in event else {}
    )
    body = json.dumps({"events": [strange, genuine]}).encode()
    began = datetime.now(UTC)
    assert post(client, webhook, body) == 200
    (bounce,) = rows(database, tenant_id, Bounce)
    assert bounce.at >= began, "an unset clock is not believed"


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": "another"},
        {"sent": b'{"events": [{"type": "delivered"}]}'},
        {"age": 301},
        {"age": -301},
        {"key": "unknown"},
    ],
)
def test_what_is_not_genuine_writes_nothing(
    client: Client, webhook: Webhook, database: Database, tenant_id: int, changes: dict[str, Any]
) -> None:
    assert post(client, webhook, b'{"events": []}', **changes) == 401
    assert rows(database, tenant_id, Inbound) == []


def test_a_webhook_speaks_for_its_own_company_only(
    client: Client, database: Database, tenant_id: int, signer: TokenSigner
) -> None:
    with database.tenant_session(tenant_id) as session:
        run = a_run(session, tenant_id, None, 1)
    key = signer.message_key(messages(database, run)[0])
    other = tenant_id + 1_000_000
    with database.tenant_session(tenant_id) as session:
        mine = make_webhook(session, signer, tenant_id, 7)
        again = make_webhook(session, signer, tenant_id, 7)
        assert webhook_of(session, signer, tenant_id, 7) == again != mine
        assert webhook_of(session, signer, other, 7) is None
    assert post(client, mine, b"{}") == 401
    stranger = create_tenant(database, slug=f"s{tenant_id}", name="Other").id
    with database.tenant_session(stranger) as session:
        theirs = make_webhook(session, signer, stranger, 1)
    body = json.dumps({"events": [{"type": "complained", "message_id": key}]}).encode()
    assert post(client, theirs, body) == 200
    raw = sample("postfix_user_unknown", key)
    assert post(client, theirs, raw, media_type="message/rfc822") == 200
    assert qualities(database, tenant_id) == [0]
    assert {one.reason for one in rows(database, stranger, Inbound)} == {"no_message"}


def test_a_body_without_end_is_refused(client: Client, webhook: Webhook) -> None:
    assert post(client, webhook, b"x" * (1 << 20) + b"x") == 413


def test_a_refusal_at_hand_over_is_judged_the_same(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    replies = (
        ("c-1@", "550 5.1.1 no such user"),
        ("c-2@", "550 5.7.1 your address is on a blocklist"),
        ("c-3@", "552 5.2.2 mailbox full"),
    )
    with SmtpSink(Script(rules=replies)) as sink:
        run = a_run_through(installation, tenant_id, sink.port, 4)
        send(installation, tenant_id, run)
    found = list(states(database, tenant_id, run).values())
    assert found.count(MessageState.FAILED) == 3
    assert qualities(database, tenant_id) == [32, 0, 3, 0]
    kept = rows(database, tenant_id, Bounce)
    assert {one.door for one in kept} == {Door.HANDOVER}
    assert sorted(one.fault for one in kept) == [Fault.SOFT, Fault.SENDER, Fault.HARD]
