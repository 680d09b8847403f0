"""Reads SmsTraffic's callbacks, the same for all of its interfaces: a list of states."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from envoi.types import DeliveryEvent, EventType, WebhookRequest
from envoi_provider_smstraffic.provider import ReportedSettings

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

FURTHER = "sms"
"""The channel that Smart Delivery goes on to."""


def read_report(settings: ReportedSettings, request: WebhookRequest) -> Sequence[DeliveryEvent]:
    """Read a callback of the interface for SMS.

    Raises:
        ForgedWebhookError: It does not bring our secret.
        ValueError: It cannot be read.
    """
    return [_event(each) for each in _told(settings, request)]


def read_smart_report(
    settings: ReportedSettings, request: WebhookRequest
) -> Sequence[DeliveryEvent]:
    """Read a callback of Smart Delivery, which names the channel that it went on to.

    Raises:
        ForgedWebhookError: It does not bring our secret.
        ValueError: It cannot be read.
    """
    return [replace(_event(each), channel=_further(each)) for each in _told(settings, request)]


def _told(settings: ReportedSettings, request: WebhookRequest) -> Sequence[Any]:
    secret = settings.report_secret.get_secret_value()
    request.require_secret(request.query.get("secret", ""), secret)
    found = json.loads(request.body)
    return found if isinstance(found, list) else [found]


def _further(report: Any) -> str:
    """The channel, where it is not the one that the message was handed over for."""
    return FURTHER if str(report.get("channel")).lower() == FURTHER else ""


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
