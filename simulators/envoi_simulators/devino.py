"""Devino's HTTP interface for SMS, Viber and social networks, as its documentation tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from envoi import gsm
from envoi_simulators.web_service import Asked, Reply, Taken, WebService

_STATES = {
    "delivered": "DELIVERED",
    "read": "SEEN",
    "tapped": "CLICKED",
    "failed": "UNDELIVERED",
}
_OF_EVERY_CHANNEL = ("from", "to", "text", "callbackUrl", "options")


class Devino(WebService):
    """`POST /<channel>/messages` with `Authorization: Key KEY`; states go to `callbackUrl`."""

    paths = ("sms", "viber", "social", "billing-api")

    def reply(self, asked: Asked) -> Reply:
        """Answer a request."""
        if asked.headers.get("authorization") != f"Key {self.key}":
            return _json({"code": "UNAUTHORIZED"}, 401)
        path = urlsplit(asked.path).path
        if path == "/billing-api/companies/current/account":
            return _json({"balance": 120.5})
        _, channel, *rest = path.split("/")
        if rest != ["messages"] or channel not in ("sms", "viber", "social"):
            return _json({"code": "NOT_FOUND"}, 404)
        try:
            messages = json.loads(asked.body)["messages"]
            return _json({"result": [self._send(channel, message) for message in messages]})
        except (KeyError, TypeError, ValueError):
            return _json({"code": "BAD_REQUEST"}, 400)

    def report(self, taken: Taken, state: str) -> None:
        """Post what became of a message, by Devino's own word."""
        if url := taken.fields.get("callbackUrl"):
            options = taken.fields.get("options", {})
            body = {"messageId": taken.id, "status": state, "options": options}
            headers = {"Content-Type": "application/json"}
            self.post(url, json.dumps(body).encode(), headers)

    def _send(self, channel: str, message: Mapping[str, Any]) -> Mapping[str, Any]:
        address = f"+{message['to']}"
        if address in self.faults.refused:
            return {"code": "REJECTED", "reasons": [{"key": "INVALID_PHONE", "value": "to"}]}
        if address in self.faults.busy:
            return {"code": "REJECTED", "reasons": [{"key": "INTERNAL_ERROR", "value": ""}]}
        taken = self.take(
            channel=channel,
            address=address,
            sender=message["from"],
            text=message.get("text", ""),
            fields=message,
        )
        parts = gsm.measure(taken.text).parts if channel == "sms" else 1
        self._show(taken, parts)
        return {"code": "OK", "messageId": taken.id}

    def _show(self, taken: Taken, parts: int) -> None:
        """Let a phone see what is meant for people only."""
        fields = {n: v for n, v in taken.fields.items() if n not in _OF_EVERY_CHANNEL}
        if "action" in fields:
            fields |= {"url": fields.pop("action"), "button": fields.pop("caption", "")}
        self.arrive(taken, partial(self._happened, taken), parts, fields)

    def _happened(self, taken: Taken, what: str) -> None:
        self.report(taken, _STATES[what])


def _json(value: Mapping[str, Any], status: int = 200) -> Reply:
    return Reply(
        status=status,
        body=json.dumps(value).encode(),
        headers={"Content-Type": "application/json"},
    )
