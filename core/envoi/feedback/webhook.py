"""The addresses of gateways to which their providers report.

A provider that brings a function for it is read by that. All others sign with a secret per
gateway, within a short window: JSON, `{"events": [...]}`, or a bounce or complaint as it came
(`message/rfc822`). What is not genuine is answered with 401 and leaves no trace.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from itertools import islice
from typing import Any, Literal

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.db import Database, table
from envoi.errors import EnvoiError, ForgedWebhookError
from envoi.feedback.accounts import KIND, Account, Accounts
from envoi.feedback.intake import Intake
from envoi.feedback.keeping import FAILED
from envoi.feedback.models import Door
from envoi.feedback.patience import Patience
from envoi.feedback.reading import keys_in
from envoi.operations.plugin_errors import note_fault
from envoi.plugins import Plugins, fence
from envoi.settings import Settings
from envoi.tenants.models import InboundRoute
from envoi.tracking.tokens import TokenSigner
from envoi.types import DeliveryEvent, ProviderSpec, WebhookRequest

log = structlog.get_logger()

PATH = "/in/"
MOST_BYTES = 1 << 20
WINDOW_SECONDS = 300
MOST_EVENTS = 1_000
ANSWER_SECONDS, MOST_THREADS = 5.0, 8
"""So long a plugin may read a request, and so many of its threads may hang."""
BROKEN = "broken"
_PURPOSE = "webhook:{}"


class ReportedEvent(BaseModel):
    """One event as a provider tells it; the message is named by its Message-ID."""

    model_config = ConfigDict(frozen=True)

    type: Literal["delivered", "bounced", "complained", "deferred"]
    message_id: str = Field("", max_length=500)
    recipient: str = Field("", max_length=320)
    status: str = Field("", max_length=20)
    code: int = Field(0, ge=0, le=999)
    reason: str = Field("", max_length=2_000)
    occurred_at: AwareDatetime | None = None


class Reported(BaseModel):
    """The body of a webhook."""

    events: list[ReportedEvent] = Field(max_length=MOST_EVENTS)


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """A gateway's webhook: where it is, and what it is signed with."""

    key: str
    secret: str


def webhook_of(
    session: Session, signer: TokenSigner, tenant_id: int, gateway_id: int
) -> Webhook | None:
    """The webhook of a gateway, if it has one."""
    r = table(InboundRoute).c
    mine = (r.tenant_id == tenant_id, r.kind == KIND, r.ref == gateway_id)
    key = session.scalar(select(r.key).where(*mine))
    return Webhook(key=key, secret=signer.shared_secrets(_PURPOSE.format(key))[0]) if key else None


def make_webhook(session: Session, signer: TokenSigner, tenant_id: int, gateway_id: int) -> Webhook:
    """Give a gateway a new address and secret; the old ones end."""
    route = table(InboundRoute)
    mine = (route.c.tenant_id == tenant_id, route.c.kind == KIND, route.c.ref == gateway_id)
    session.execute(route.delete().where(*mine))
    key = secrets.token_urlsafe(24)
    session.execute(route.insert().values(key=key, tenant_id=tenant_id, kind=KIND, ref=gateway_id))
    return Webhook(key=key, secret=signer.shared_secrets(_PURPOSE.format(key))[0])


def keep_webhook(session: Session, signer: TokenSigner, tenant_id: int, gateway_id: int) -> Webhook:
    """The webhook of a gateway, made now if it has none."""
    there = webhook_of(session, signer, tenant_id, gateway_id)
    return there or make_webhook(session, signer, tenant_id, gateway_id)


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The signature of a body at a moment (seconds since 1970)."""
    signed = timestamp.encode() + b"." + body
    return hmac.new(secret.encode(), signed, sha256).hexdigest()


class Webhooks:
    """Answers the addresses of webhooks with an HTTP status."""

    def __init__(
        self,
        database: Database,
        signer: TokenSigner,
        plugins: Plugins,
        settings: Settings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._signer = signer
        self._plugins = plugins
        self._accounts = Accounts(database, plugins, settings)
        self._intake = Intake(database, signer)
        self._patience = Patience(ANSWER_SECONDS, MOST_THREADS, "webhook")
        self._clock = clock

    def is_known(self, key: str) -> bool:
        """Whether a gateway has this address."""
        return self._accounts.of(key) is not None

    def __call__(self, key: str, request: WebhookRequest) -> int:
        """Take a request in: 200 when it is written, 401 when it is not genuine."""
        account = self._accounts.of(key)
        if account is None:
            return 401
        if not account.is_read:
            return 404
        if account.spec is not None and account.spec.webhook is not None:
            return self._read_by_plugin(account, account.spec, request)
        return self._read(key, account, request)

    def _read_by_plugin(self, account: Account, spec: ProviderSpec, request: WebhookRequest) -> int:
        raw = account.without_secrets(bytes_of(request))
        ask = partial(events_of, self._plugins, spec, account.values, request)
        try:
            owner = self._plugins.owner("provider", spec.name)
            events = self._patience.wait_for(owner, ask)
        except ForgedWebhookError:
            return 401
        except EnvoiError as error:
            understood = not isinstance(error.__cause__, ValueError)
            if understood:
                log.error("webhook_failed", gateway=account.gateway_id, error=str(error))
                note_fault(self._database, account.tenant_id, error)
            reason = FAILED if understood else BROKEN
            self._intake.keep_unread(raw, Door.WEBHOOK, account.tenant_id, reason)
            return 202
        for event in events:
            said = account.without_secrets(event.raw.encode("utf-8", "replace")) or raw
            self._report(account, said, event)
        return 200

    def _read(self, key: str, account: Account, request: WebhookRequest) -> int:
        stamp = request.headers.get("x-envoi-timestamp", "")
        signature = request.headers.get("x-envoi-signature", "")
        if not self._is_genuine(key, stamp, signature, request.body):
            return 401
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type == "message/rfc822":
            self._intake.receive(request.body, Door.WEBHOOK, tenant_id=account.tenant_id)
            return 200
        try:
            reported = Reported.model_validate_json(request.body).events
        except ValidationError:
            self._intake.keep_unread(request.body, Door.WEBHOOK, account.tenant_id, BROKEN)
            return 202
        for one in reported:
            raw = json.dumps(one.model_dump(mode="json"), sort_keys=True).encode()
            self._report(account, raw, _event(one))
        return 200

    def _report(self, account: Account, raw: bytes, event: DeliveryEvent) -> None:
        where = (account.tenant_id, account.gateway_id)
        self._intake.report(raw, Door.WEBHOOK, *where, event)

    def _is_genuine(self, key: str, timestamp: str, signature: str, body: bytes) -> bool:
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
            return False
        if abs(self._clock() - int(timestamp)) > WINDOW_SECONDS:
            return False
        given = signature.removeprefix("sha256=").lower().encode("utf-8", "replace")
        ring = self._signer.shared_secrets(_PURPOSE.format(key))
        genuine = False
        for secret in ring:
            genuine |= hmac.compare_digest(sign(secret, timestamp, body).encode(), given)
        return genuine


def _event(event: ReportedEvent) -> DeliveryEvent:
    return DeliveryEvent(
        message_key=next(iter(keys_in(event.message_id)), ""),
        type=event.type,
        occurred_at=event.occurred_at or datetime.now(UTC),
        reason=event.reason,
        status=event.status,
        code=event.code,
        recipient=event.recipient,
    )


def events_of(
    plugins: Plugins, spec: ProviderSpec, values: Any, request: WebhookRequest
) -> Sequence[DeliveryEvent]:
    """What a provider's own function reads in a request.

    Raises:
        ForgedWebhookError: The request is not the provider's.
        PluginError: It could not be read, because of a `ValueError`, or the plugin is at fault.
    """

    def read() -> Sequence[DeliveryEvent]:
        assert spec.webhook is not None
        found = list(islice(spec.webhook(values, request), MOST_EVENTS + 1))
        if len(found) > MOST_EVENTS:
            raise ValueError(f"more than {MOST_EVENTS} events at once")
        if not all(isinstance(event, DeliveryEvent) for event in found):
            raise TypeError("it returned something else than events")
        return found

    events: Sequence[DeliveryEvent] = fence(plugins, "provider", spec.name, read)
    return events


def bytes_of(request: WebhookRequest) -> bytes:
    """A request as it is kept: what it asks for, and its body."""
    query = "&".join(f"{name}={value}" for name, value in request.query.items())
    return (f"?{query}\n".encode("utf-8", "replace") if query else b"") + request.body
