"""The webhook for providers: signed with a secret per gateway, accepted within a short window.

The body is JSON, `{"events": [...]}`, or a bounce or complaint as it came (`message/rfc822`).
What is not signed rightly is answered with 401 and leaves no trace.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.db import Database, table
from envoi.feedback.intake import Intake
from envoi.feedback.models import Door
from envoi.feedback.parts import storable
from envoi.feedback.reading import keys_in
from envoi.tenants.models import InboundRoute
from envoi.tracking.tokens import TokenSigner
from envoi.types import DeliveryEvent

PATH = "/in/"
KIND = "webhook"
MOST_BYTES = 1 << 20
WINDOW_SECONDS = 300
LONGEST_AGO = timedelta(days=30)
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

    events: list[ReportedEvent] = Field(max_length=1_000)


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


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The signature of a body at a moment (seconds since 1970)."""
    signed = timestamp.encode() + b"." + body
    return hmac.new(secret.encode(), signed, sha256).hexdigest()


class Webhooks:
    """Answers the addresses of webhooks with an HTTP status."""

    def __init__(
        self, database: Database, signer: TokenSigner, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._signer = signer
        self._intake = Intake(database, signer)
        self._clock = clock

    def __call__(
        self, key: str, media_type: str, timestamp: str, signature: str, body: bytes
    ) -> int:
        """Take a request in: 200 when it is written, 401 when it is not genuine."""
        tenant_id, gateway_id = self._route(key)
        if not tenant_id or not self._is_genuine(key, timestamp, signature, body):
            return 401
        if media_type == "message/rfc822":
            self._intake.receive(body, Door.WEBHOOK, tenant_id=tenant_id)
            return 200
        try:
            events = Reported.model_validate_json(body).events
        except ValidationError:
            self._intake.keep_unread(body, Door.WEBHOOK, tenant_id, "broken")
            return 202
        self._report(tenant_id, gateway_id, events)
        return 200

    def _report(self, tenant_id: int, gateway_id: int, events: Sequence[ReportedEvent]) -> None:
        now = datetime.now(UTC)
        for event in events:
            reported = DeliveryEvent(
                message_key=next(iter(keys_in(event.message_id)), ""),
                type=event.type,
                occurred_at=_moment(event, now),
                reason=event.reason,
                status=event.status,
                code=event.code,
                recipient=storable(event.recipient).strip().lower(),
            )
            raw = json.dumps(event.model_dump(mode="json"), sort_keys=True).encode()
            self._intake.report(raw, Door.WEBHOOK, tenant_id, gateway_id, reported)

    def _route(self, key: str) -> tuple[int, int]:
        """Whose address it is: the tenant and gateway, or 0 and 0."""
        r = table(InboundRoute).c
        query = select(r.tenant_id, r.ref).where(r.key == key, r.kind == KIND)
        with self._database.system_session() as session:
            found = session.execute(query).one_or_none()
        return (found.tenant_id, found.ref) if found else (0, 0)

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


def _moment(event: ReportedEvent, now: datetime) -> datetime:
    """When it happened, unless that clock is plainly wrong: an unset one says the year 1."""
    at = event.occurred_at
    return at if at and now - LONGEST_AGO < at <= now else now
