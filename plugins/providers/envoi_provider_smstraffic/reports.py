"""Reads SmsTraffic's callbacks: a list of states."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from envoi.types import DeliveryEvent, EventType, WebhookRequest
from envoi_provider_smstraffic.provider import SmsTrafficSettings

_ZONE = timezone(timedelta(hours=3))
"""By whose clock SmsTraffic writes."""

_STATES = {
    **dict.fromkeys(("buffered smsc", "acceptd"), EventType.DEFERRED),
    "delivered": EventType.DELIVERED,
    "read": EventType.READ,
    **dict.fromkeys(
        ("non delivered", "undelivered", "rejected", "expired", "deleted", "failed"),
        EventType.FAILED,
    ),
}


def read_report(settings: SmsTrafficSettings, request: WebhookRequest) -> Sequence[DeliveryEvent]:
    """Read a callback.

    Raises:
        ForgedWebhookError: It does not bring our secret.
        ValueError: It cannot be read.
    """
    secret = settings.report_secret.get_secret_value()
    request.require_secret(request.query.get("secret", ""), secret)
    found = json.loads(request.body)
    return [_event(each) for each in (found if isinstance(found, list) else [found])]


def _event(report: Any) -> DeliveryEvent:
    if not isinstance(report, dict) or not report.get("sms_id") or not report.get("status"):
        raise ValueError("The report names no message or no state.")
    state = str(report["status"])
    code = str(report.get("error_code") or report.get("err_code") or "")
    return DeliveryEvent(
        type=_STATES.get(state.lower(), EventType.UNKNOWN).value,
        occurred_at=_moment(str(report.get("delivery_date") or "")),
        reference=str(report["sms_id"]),
        status=state[:100],
        reason=code[:500],
        raw=json.dumps(report, ensure_ascii=False)[:2_000],
    )


def _moment(written: str) -> datetime:
    try:
        return datetime.strptime(written, "%Y-%m-%d %H:%M:%S").replace(tzinfo=_ZONE)
    except ValueError:
        return datetime.now(UTC)
