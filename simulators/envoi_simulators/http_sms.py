"""An SMS provider with a plain HTTP interface, as many small ones have it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from envoi import gsm
from envoi_simulators.phone import Phone
from envoi_simulators.web_service import Asked, Reply, Taken, WebService

_STATES = {"delivered": "DELIVRD", "failed": "UNDELIV", "read": "READ", "tapped": "CLICKED"}


class HttpSms(WebService):
    """`POST /send` takes `{"to", "from", "text", "id"}` with `Authorization: Bearer KEY`.

    The answer is `{"id", "status"}` with "queued", "refused" or "busy". States are posted to the
    webhook as `{"id", "status"}`, and what people answer as `{"from", "text"}`, with the secret in
    `X-Secret`.
    """

    paths = ("send", "balance")

    def __init__(
        self,
        *,
        key: str = "key",
        phone: Phone | None = None,
        webhook: str = "",
        secret: str = "",
    ) -> None:
        super().__init__(key=key, phone=phone)
        self.webhook, self.secret = webhook, secret
        self._known: dict[str, Mapping[str, Any]] = {}

    def reply(self, asked: Asked) -> Reply:
        """Answer a request."""
        if asked.headers.get("authorization") != f"Bearer {self.key}":
            return _json({"error": "wrong key"}, 401)
        if asked.path == "/balance":
            return _json({"balance": 120.5})
        if asked.path != "/send":
            return _json({"error": "no such address"}, 404)
        key = asked.headers.get("idempotency-key", "")
        known = self._known.get(key) if key else None
        answer = known or self._send(json.loads(asked.body))
        if key:
            self._known[key] = answer
        return _json(answer)

    def report(self, taken: Taken, state: str) -> None:
        """Tell the webhook what became of a message, by the service's own word."""
        self._tell({"id": taken.id, "status": state})

    def pass_on(self, taken: Taken, text: str) -> None:
        """Tell the webhook what somebody has answered to a message."""
        self._tell({"from": taken.address, "text": text})

    def _tell(self, told: Mapping[str, str]) -> None:
        if self.webhook:
            headers = {"Content-Type": "application/json", "X-Secret": self.secret}
            self.post(self.webhook, json.dumps(told).encode(), headers)

    def _send(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        if message["to"] in self.faults.refused:
            return {"status": "refused", "error": 11}
        if message["to"] in self.faults.busy:
            return {"status": "busy", "error": 88}
        taken = self.take(
            channel="sms",
            address=message["to"],
            sender=message["from"],
            text=message["text"],
            fields={},
        )
        parts = gsm.measure(taken.text).parts
        answers = partial(self.pass_on, taken)
        self.arrive(taken, partial(self._happened, taken), parts, reply=answers)
        return {"id": taken.id, "status": "queued"}

    def _happened(self, taken: Taken, what: str) -> None:
        self.report(taken, _STATES[what])


def _json(value: Mapping[str, Any], status: int = 200) -> Reply:
    return Reply(
        status=status,
        body=json.dumps(value).encode(),
        headers={"Content-Type": "application/json"},
    )
