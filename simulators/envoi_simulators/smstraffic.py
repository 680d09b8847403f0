"""SmsTraffic's HTTP interface for SMS, version 2, as its documentation tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from envoi import gsm
from envoi_simulators.phone import Phone
from envoi_simulators.web_service import Asked, Reply, Taken, WebService

_STATES = {
    "delivered": "Delivered",
    "read": "Delivered",
    "tapped": "Delivered",
    "failed": "Non Delivered",
}


class SmsTraffic(WebService):
    """`POST /v2/send` with `Authorization: Bearer KEY`; states go to the account's webhook."""

    paths = ("v2",)

    def __init__(self, *, key: str = "key", phone: Phone | None = None, webhook: str = "") -> None:
        super().__init__(key=key, phone=phone)
        self.webhook = webhook

    def reply(self, asked: Asked) -> Reply:
        """Answer a request."""
        if asked.headers.get("authorization") != f"Bearer {self.key}":
            return _json({"success": False}, 403)
        if asked.path == "/v2/account":
            return _json({"success": True, "account": 120.5})
        if asked.path != "/v2/send":
            return _json({"success": False}, 404)
        asks = json.loads(asked.body)
        found = [self._send(asks, each["to"]) for each in asks["destinations"]]
        return _json({"success": True, "destinations": found})

    def report(self, taken: Taken, state: str) -> None:
        """Tell the webhook what became of a message, by SmsTraffic's own word."""
        if self.webhook:
            found = {
                "sms_id": taken.id,
                "phone_number": taken.address.removeprefix("+"),
                "status": state,
                "channel": "sms",
            }
            headers = {"Content-Type": "application/json"}
            self.post(self.webhook, json.dumps([found]).encode(), headers)

    def _send(self, asks: Mapping[str, Any], phone: int) -> Mapping[str, Any]:
        address = f"+{phone}"
        if address in self.faults.refused:
            return {"phone": phone, "error": {"code": 432, "message": "blocked phone"}}
        if address in self.faults.busy:
            return {"phone": phone, "error": {"code": 1000, "message": "try later"}}
        taken = self.take(
            channel="sms",
            address=address,
            sender=asks.get("originator", ""),
            text=asks["channels"]["sms"]["message"],
            fields=asks,
        )
        self.arrive(taken, partial(self._happened, taken), gsm.measure(taken.text).parts)
        return {"phone": phone, "id": taken.id}

    def _happened(self, taken: Taken, what: str) -> None:
        self.report(taken, _STATES[what])


def _json(value: Mapping[str, Any], status: int = 200) -> Reply:
    return Reply(
        status=status,
        body=json.dumps(value).encode(),
        headers={"Content-Type": "application/json"},
    )
