"""From a mail server's bounce, or a provider's complaint, to a paused mailing that says why."""

from __future__ import annotations

import json
import re
import smtplib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

import pytest
from werkzeug.test import Client

from envoi.accounts.permissions import Role
from envoi.accounts.service import create_account, set_role
from envoi.app import create_app
from envoi.db import Database
from envoi.delivery.models import Run, RunStatus
from envoi.delivery.runs import get_run
from envoi.feedback.intake import Intake
from envoi.feedback.webhook import PATH, make_webhook, sign
from envoi.installation import Installation
from envoi.mailings.models import Mailing, MailingState
from envoi.plugins import Plugins
from envoi.settings import Settings
from envoi.tenants.service import tenant_settings
from envoi.tracking.app import TrackingApp
from envoi.tracking.tokens import signer_of
from factories.delivery import a_run, an_installation, smtp_gateway
from factories.feedback import sample
from factories.workers import workers
from listening import listening
from pages import PASSWORD, sign_in
from processes import wait_until
from smtp_sink import Received, Script, SmtpSink

pytestmark = pytest.mark.usefixtures("only_ours")

PEOPLE = 1_500
REPORTS = 40
"""More than a hundredth of all, so it is too many whenever they are counted."""


@pytest.fixture
def installation(
    database: Database, plugins: Plugins, tmp_path: Path, free_port: int
) -> Installation:
    """The installation that the workers send for, with a port for its listener."""
    return an_installation(database, plugins, tmp_path, inbound_port=free_port)


def key_of(left: Received) -> str:
    return left.mail_from.partition("@")[0].removeprefix("b+")


def by_listener(installation: Installation, tenant_id: int, left: Sequence[Received]) -> None:
    """Bounces of these messages come to the listener."""
    signer = signer_of(installation.settings)
    with (
        listening(installation, Intake(installation.database, signer)),
        smtplib.LMTP("127.0.0.1", installation.settings.inbound_port) as client,
    ):
        for one in left:
            bounce = sample("postfix_user_unknown", key_of(one), one.rcpt)
            assert client.sendmail("", [one.mail_from], bounce) == {}


def by_webhook(installation: Installation, tenant_id: int, left: Sequence[Received]) -> None:
    """Complaints about them come to the webhook of a gateway."""
    signer = signer_of(installation.settings)
    with installation.database.tenant_session(tenant_id) as session:
        webhook = make_webhook(session, signer, tenant_id, 1)
    events = [{"type": "complained", "message_id": key_of(one)} for one in left]
    body, stamp = json.dumps({"events": events}).encode(), str(int(time.time()))
    app = TrackingApp(installation.database, signer, installation.plugins)
    headers = {
        "X-Envoi-Timestamp": stamp,
        "X-Envoi-Signature": sign(webhook.secret, stamp, body),
    }
    address = PATH + webhook.key
    answer = Client(app).post(address, data=body, headers=headers, content_type="application/json")
    app.close()
    assert answer.status_code == 200


Door = Callable[[Installation, int, Sequence[Received]], None]


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (by_listener, "percent of the messages bounced"),
        (by_webhook, "percent of the recipients reported the mailing as spam"),
    ],
)
def test_a_mailing_that_bounces_or_annoys_is_paused_by_a_worker_and_says_why(
    installation: Installation,
    database: Database,
    tenant_id: int,
    settings: Settings,
    report: Door,
    words: str,
) -> None:
    with SmtpSink(Script(delay_ms=(15, 25), keep_data=False)) as sink:
        run = being_sent(installation, tenant_id, sink.port)
        with workers(settings, 1, 2), workers(settings, 1, 1, ("quick",)):
            wait_until(lambda: len(sink.received) >= REPORTS, seconds=60, what="messages")
            report(installation, tenant_id, sink.received[:REPORTS])
            wait_until(lambda: course(database, run) != RunStatus.SENDING, seconds=60, what="pause")
    assert course(database, run) == RunStatus.PAUSED
    assert REPORTS <= len(sink.received) < PEOPLE
    page = page_of(installation, tenant_id, run)
    assert re.search(rf"[\d.]+ {words} \(\d+ of \d+\)", page)
    assert "then resume or cancel" in page


def being_sent(installation: Installation, tenant_id: int, port: int) -> Run:
    """A mailing under way whose company bears few bounces."""
    with installation.database.tenant_session(tenant_id) as session:
        limits = tenant_settings(session, tenant_id)
        limits.pause_after, limits.pause_bounce_share = REPORTS, 1.0
        gateway = smtp_gateway(session, installation, tenant_id, port)
        run = a_run(session, tenant_id, gateway, PEOPLE, block_size=50)
        mailing = Mailing(
            tenant_id=tenant_id, channel="email", name="Week", state=MailingState.LAUNCHED
        )
        mailing.run_id = run.id
        session.add(mailing)
        session.flush()
        run.mailing_id = mailing.id
        return run


def course(database: Database, run: Run) -> RunStatus:
    with database.tenant_session(run.tenant_id) as session:
        return RunStatus(get_run(session, run.tenant_id, run.id).status)


def page_of(installation: Installation, tenant_id: int, run: Run) -> str:
    """What a person sees on the page of the mailing."""
    email = f"{uuid4().hex[:12]}@fieldmarket.example"
    account = create_account(
        installation.database, email=email, password=PASSWORD, name="Anna", language="en"
    )
    set_role(
        installation.database, tenant_id=tenant_id, account_id=account, role=Role.ADMINISTRATOR
    )
    browser = create_app(installation).test_client()
    assert sign_in(browser, email) == 302
    return browser.get(f"/mailings/{run.mailing_id}/progress").get_data(as_text=True)
