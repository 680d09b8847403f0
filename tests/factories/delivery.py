"""Runs that are ready to be sent, without a mailing around them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from envoi.db import Database, table
from envoi.delivery.gateways import set_gateway
from envoi.delivery.models import Message, MessageState, Run, RunBlock, RunKind, RunStatus
from envoi.delivery.runs import RunSettings, VariantContent, create_run, get_run, start_sending
from envoi.installation import Installation
from envoi.plugins import Plugins
from envoi.settings import Settings, load_settings
from factories.customers import customer_ids, make_customers

BODY = (
    "<html><body><h1>Hello {{ client.properties.first_name }}</h1>"
    '<p><a href="https://shop.test/offer">The offer</a> for'
    " {{ client.properties.city | default('you') }}</p></body></html>"
)


def an_installation(
    database: Database, plugins: Plugins, data_dir: Path, **settings: Any
) -> Installation:
    """An installation over a test's database, without a queue."""
    chosen: Settings = load_settings(
        data_dir=data_dir, secret_key=SecretStr("a key only for tests, long enough"), **settings
    )
    return Installation(chosen, database, plugins)


def smtp_gateway(
    session: Session, installation: Installation, tenant_id: int, port: int, **values: Any
) -> int:
    """A default gateway to an SMTP server on this machine."""
    server = {"host": "127.0.0.1", "port": port, "security": "none", "helo_name": "envoi.test"}
    gateway = set_gateway(
        session,
        installation.plugins,
        installation.settings,
        tenant_id,
        channel="email",
        provider="smtp",
        name="test",
        values=server | values,
    )
    return gateway.id


def email_content(body: str = BODY, **fields: Any) -> dict[str, Any]:
    """An email's content as a mailing stores it."""
    return {
        "subject": "News for {{ client.properties.first_name }}",
        "body_format": "html",
        "body": body,
        "sender_name": "Fieldmarket",
        "sender_address": "news@fieldmarket.test",
        **fields,
    }


def a_run(
    session: Session,
    tenant_id: int,
    gateway_id: int | None,
    people: int | Sequence[int],
    *,
    content: dict[str, Any] | None = None,
    kind: RunKind = RunKind.MAILING,
    channel: str = "email",
    **settings: Any,
) -> Run:
    """A run to so many new customers, or to these, ready to be sent."""
    if isinstance(people, int):
        make_customers(session, tenant_id, people, phones=channel != "email")
        people = customer_ids(session, tenant_id)
    frozen = RunSettings(
        variants=[VariantContent(number=1, content=content or email_content())],
        links_url="http://links.test",
        **settings,
    )
    run = create_run(
        session,
        tenant_id,
        mailing_id=None,
        kind=kind,
        channel=channel,
        gateway_id=gateway_id,
        settings=frozen,
        now=datetime.now(UTC),
    )
    _add_recipients(session, run, people)
    return run


def _add_recipients(session: Session, run: Run, customer_ids: Sequence[int]) -> None:
    """Name the recipients, as collecting an audience does, and start sending."""
    size = RunSettings.model_validate(run.settings).block_size
    key = {"tenant_id": run.tenant_id, "run_id": run.id, "launched_on": run.launched_on}
    now = datetime.now(UTC)
    rows = [
        {
            **key,
            "customer_id": customer_id,
            "step": 1,
            "variant": 1,
            "state": MessageState.READY,
            "block": place // size,
            "due_at": now,
        }
        for place, customer_id in enumerate(customer_ids)
    ]
    blocks = [
        {**key, "number": n, "size": len(rows[n * size : (n + 1) * size]), "due_at": now}
        for n in range(-(-len(rows) // size))
    ]
    if rows:
        session.execute(insert(table(Message)), rows)
        session.execute(insert(table(RunBlock)), blocks)
    run.collected_at = now
    start_sending(session, run.tenant_id, run.id)


def a_run_through(
    installation: Installation, tenant_id: int, port: int, people: int, **settings: Any
) -> Run:
    """A run to so many new customers through an SMTP server on this machine."""
    with installation.database.tenant_session(tenant_id) as session:
        gateway = smtp_gateway(session, installation, tenant_id, port)
        return a_run(session, tenant_id, gateway, people, **settings)


def is_sent(database: Database, run: Run) -> bool:
    """Whether nothing of a run is left to do."""
    with database.tenant_session(run.tenant_id) as session:
        return get_run(session, run.tenant_id, run.id).status == RunStatus.SENT


def states(database: Database, tenant_id: int, run: Run) -> dict[int, MessageState]:
    """The state of each customer's message."""
    c = table(Message).c
    query = select(c.customer_id, c.state).where(
        c.tenant_id == tenant_id, c.run_id == run.id, c.launched_on == run.launched_on
    )
    with database.tenant_session(tenant_id) as session:
        return {row.customer_id: MessageState(row.state) for row in session.execute(query)}
