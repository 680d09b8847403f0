"""Stream Telecom's HTTP interface for SMS, as it is published; it reports nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from envoi import gsm
from envoi_simulators.web_service import Asked, Reply, WebService


class StreamTelecom(WebService):
    """`POST /Send/SendSms/` with a form; the key is the account's password."""

    paths = ("Send", "Balance")

    def reply(self, asked: Asked) -> Reply:
        """Answer a request."""
        form = dict(parse_qsl(asked.body.decode(), keep_blank_values=True))
        if form.get("pass") != self.key:
            return _refused(4, "Unauthorized access", 401)
        if asked.path == "/Balance/balance.php":
            return _json("120.5")
        if asked.path != "/Send/SendSms/":
            return Reply(status=404)
        address = f"+{form['destinationAddress']}"
        if address in self.faults.refused:
            return _refused(2, "Invalid argument")
        if address in self.faults.busy:
            return _refused(10, "Flood SMS")
        return _json(self._take(address, form))

    def _take(self, address: str, form: Mapping[str, str]) -> list[str]:
        text = form["data"]
        taken = self.take(
            channel="sms", address=address, sender=form["sourceAddress"], text=text, fields=form
        )
        parts = gsm.measure(text).parts
        self.arrive(taken, lambda _state: None, parts)
        return [taken.id, *(f"{taken.id}{part:02}" for part in range(2, parts + 1))]


def _refused(code: int, words: str, status: int = 400) -> Reply:
    return _json({"Code": code, "Desc": words}, status)


def _json(value: Any, status: int = 200) -> Reply:
    return Reply(
        status=status,
        body=json.dumps(value).encode(),
        headers={"Content-Type": "application/json"},
    )
