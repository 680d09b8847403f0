"""A provider that reports, and messages that it has taken."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, SecretStr
from sqlalchemy import insert, select, update

from envoi import hookimpl
from envoi.db import Database, table
from envoi.delivery.gateways import set_gateway
from envoi.delivery.models import Message, MessageState, Run, Submission, SubmissionState
from envoi.errors import ForgedWebhookError
from envoi.feedback.models import Inbound
from envoi.feedback.webhook import Webhooks
from envoi.installation import Installation
from envoi.tracking.tokens import MessageRef, signer_of
from envoi.types import (
    DeliveryEvent,
    Provider,
    ProviderSpec,
    Report,
    WebhookRequest,
)
from factories.customers import customer_ids, make_customers
from factories.delivery import a_run
from factories.feedback import messages
from web_sink import Asked, Reply, WebSink

TOKEN = "told only to the provider"
TAKEN_AT = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)

Receive = Callable[[Any, Report, Callable[[], bool]], None]


class TellerSettings(BaseModel):
    """What an account of the provider needs."""

    token: SecretStr = SecretStr(TOKEN)
    label: str = ""


@dataclass
class Teller:
    """A plugin whose provider reports by webhook, and by connection if `receive` is given."""

    receive: Receive | None = None
    read: Callable[[Any, WebhookRequest], Sequence[DeliveryEvent]] | None = None

    @hookimpl
    def register_providers(self) -> Iterable[ProviderSpec]:
        """Bring the provider."""
        yield ProviderSpec(
            name="teller",
            label="Teller",
            channel="sms",
            settings=TellerSettings,
            factory=_no_account,
            webhook=self.read or read_events,
            receive=self.receive,
        )


def _no_account(settings: Any) -> Provider:
    raise NotImplementedError


def read_events(settings: TellerSettings, request: WebhookRequest) -> list[DeliveryEvent]:
    """Read the events of a body, or the one of a query."""
    body = json.loads(request.body) if request.body else {"events": [dict(request.query)]}
    token = request.query.get("token") or request.headers.get("x-token", "")
    if token != settings.token.get_secret_value():
        raise ForgedWebhookError("The token is another.")
    return [
        DeliveryEvent(
            type=event["type"],
            reference=event["id"],
            occurred_at=datetime.fromisoformat(event["at"]),
            recipient=event.get("phone", ""),
            permanent=bool(event.get("permanent")),
        )
        for event in body["events"]
    ]


def teller_gateway(
    installation: Installation, tenant_id: int, name: str = "teller", **values: Any
) -> int:
    """A gateway of the provider."""
    with installation.database.tenant_session(tenant_id) as session:
        return set_gateway(
            session,
            installation.plugins,
            installation.settings,
            tenant_id,
            channel="sms",
            provider="teller",
            name=name,
            values=values,
        ).id


@dataclass(frozen=True)
class Handed:
    """An SMS run that was handed over, with the numbers that the provider gave its messages."""

    database: Database
    run: Run
    gateway_id: int
    refs: Sequence[MessageRef]

    def row(self, place: int = 0) -> Any:
        """One message's row."""
        return self.rows()[place]

    def rows(self) -> Sequence[Any]:
        """All messages' rows in their order."""
        m, run = table(Message).c, self.run
        query = select(table(Message)).where(
            m.tenant_id == run.tenant_id,
            m.run_id == run.id,
            m.launched_on == run.launched_on,
        )
        with self.database.tenant_session(run.tenant_id) as session:
            return session.execute(query.order_by(m.customer_id)).all()

    def facts(self) -> list[tuple[datetime | None, ...]]:
        """What is known of every message."""
        names = ("state", "delivered_at", "bounced_at", "opened_at", "clicked_at")
        return [tuple(getattr(row, name) for name in names) for row in self.rows()]

    def kept(self, model: Any = Inbound) -> list[Any]:
        """The rows of a table of this company."""
        c = table(model).c
        query = select(table(model)).where(c.tenant_id == self.run.tenant_id)
        with self.database.tenant_session(self.run.tenant_id) as session:
            return list(session.execute(query.order_by(*table(model).primary_key.columns)))

    def submitted(self, *numbers: str, place: int = 0) -> None:
        """Note the numbers that the parts of a message were given."""
        ref = self.refs[place]
        rows = [
            {
                "tenant_id": ref.tenant_id,
                "gateway_id": self.gateway_id,
                "provider_id": number,
                "run_id": ref.run_id,
                "customer_id": ref.customer_id,
                "step": ref.step,
                "number": part,
                "launched_on": ref.launched_on,
                "state": SubmissionState.ACCEPTED,
            }
            for part, number in enumerate(numbers, 1)
        ]
        with self.database.tenant_session(ref.tenant_id) as session:
            session.execute(insert(table(Submission)), rows)


def handed_over(
    database: Database,
    tenant_id: int,
    gateway_id: int,
    people: int = 1,
    state: MessageState = MessageState.ACCEPTED,
) -> Handed:
    """An SMS run whose messages were handed over an hour ago."""
    with database.tenant_session(tenant_id) as session:
        if not customer_ids(session, tenant_id):
            make_customers(session, tenant_id, people, phones=True)
        run = a_run(session, tenant_id, gateway_id, customer_ids(session, tenant_id)[:people])
        r, m = table(Run).c, table(Message).c
        mine = (r.tenant_id == tenant_id, r.id == run.id)
        session.execute(update(table(Run)).where(*mine).values(channel="sms"))
        theirs = (m.tenant_id == tenant_id, m.run_id == run.id, m.launched_on == run.launched_on)
        accepted_at = TAKEN_AT if state is MessageState.ACCEPTED else None
        taken = update(table(Message)).where(*theirs).values(state=state, accepted_at=accepted_at)
        session.execute(taken)
    return Handed(database, run, gateway_id, messages(database, run))


@contextmanager
def door(installation: Installation) -> Iterator[WebSink]:
    """The address of webhooks, as the tracking server has it."""
    signer = signer_of(installation.settings)
    webhooks = Webhooks(installation.database, signer, installation.plugins, installation.settings)

    def take_in(asked: Asked) -> Reply:
        place = urlsplit(asked.path)
        request = WebhookRequest(
            method=asked.method,
            headers=asked.headers,
            query=dict(parse_qsl(place.query)),
            body=asked.body,
        )
        return Reply(webhooks(place.path.removeprefix("/in/"), request))

    with WebSink(take_in) as sink:
        yield sink
