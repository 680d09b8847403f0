"""Reads Devino's callbacks, which are the same for every channel."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from envoi.types import DeliveryEvent, EventType, WebhookRequest
from envoi_provider_devino.client import DevinoSettings

_STATES = {
    **dict.fromkeys(("ENQUEUED", "SENT", "SENDING", "ACCEPTED"), EventType.DEFERRED),
    "DELIVERED": EventType.DELIVERED,
    **dict.fromkeys(("SEEN", "READ", "VIEWED"), EventType.READ),
    "CLICKED": EventType.CLICKED,
    **dict.fromkeys(
        ("UNDELIVERED", "EXPIRED", "REJECTED", "DELETED", "CANCELLED", "FAILED"), EventType.FAILED
    ),
}


def read_report(settings: DevinoSettings, request: WebhookRequest) -> Sequence[DeliveryEvent]:
    """Read a callback, or a list of them.

    Raises:
        ForgedWebhookError: It does not bring our secret back.
        ValueError: It cannot be read.
    """
    secret = settings.callback_secret.get_secret_value()
    request.require_secret(request.query.get("secret", ""), secret)
    found = json.loads(request.body)
    return [_event(each) for each in (found if isinstance(found, list) else [found])]


def _event(report: Any) -> DeliveryEvent:
    if not isinstance(report, Mapping) or not report.get("messageId") or not report.get("status"):
        raise ValueError("The report names no message or no state.")
    state = str(report["status"])
    options = report.get("options")
    return DeliveryEvent(
        type=_STATES.get(state.upper(), EventType.UNKNOWN).value,
        occurred_at=datetime.now(UTC),
        message_key=str(options.get("key", "")) if isinstance(options, Mapping) else "",
        reference=str(report["messageId"]),
        status=state[:100],
        reason=str(report.get("error") or "")[:500],
        raw=json.dumps(report, ensure_ascii=False)[:2_000],
    )
