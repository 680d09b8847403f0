"""Turns push messages into those of the platforms that Azure hands them on to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from envoi.outgoing import Request
from envoi.types import Outgoing

FORMATS = {"fcm": "FcmV1", "apns": "apple"}
"""What Azure calls the services."""


def written(message: Outgoing, service: str, path: str, access: str) -> Request:
    """Write the request for a message to a device of a service."""
    fields = json.loads(message.payload)
    headers = {
        "authorization": access,
        "content-type": "application/json;charset=utf-8",
        "servicebusnotification-format": FORMATS[service],
        "servicebusnotification-devicehandle": message.address,
    }
    if service == "apns":
        headers |= _apple_headers(message)
        body = _apple(fields, message.key)
    else:
        body = _google(fields, message)
    return Request(path=path, headers=headers, body=json.dumps(body).encode())


def _apple_headers(message: Outgoing) -> Mapping[str, str]:
    found = {
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-collapse-id": message.key[:64],
    }
    if message.lifetime_seconds:
        until = datetime.now(UTC) + timedelta(seconds=message.lifetime_seconds)
        found["servicebusnotification-apns-expiry"] = until.isoformat(timespec="seconds")
    return found


def _apple(fields: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    shown = {"title": fields["title"], "body": fields["text"]}
    aps: dict[str, Any] = {"alert": _filled(shown), "sound": "default"}
    if fields["image"]:
        aps["mutable-content"] = 1
    more = {"link": fields["link"], "image": fields["image"], "envoi_message": key}
    return {**fields["data"], **_filled(more), "aps": aps}


def _google(fields: Mapping[str, Any], message: Outgoing) -> Mapping[str, Any]:
    shown = {"title": fields["title"], "body": fields["text"], "image": fields["image"]}
    android: dict[str, Any] = {"priority": "HIGH", "notification": {"tag": message.key}}
    if message.lifetime_seconds:
        android["ttl"] = f"{message.lifetime_seconds}s"
    data = {**fields["data"], "link": fields["link"], "envoi_message": message.key}
    found = {"notification": _filled(shown), "data": _filled(data), "android": android}
    return {"message": found}


def _filled(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in fields.items() if value}
