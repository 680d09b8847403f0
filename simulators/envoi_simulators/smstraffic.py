"""SmsTraffic's HTTP interfaces: version 2 for SMS, and Smart Delivery, which goes on to SMS."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

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
            _tell(self, self.webhook, taken.id, taken, state)

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


_SMART = {"delivered": "DELIVERED", "read": "READ", "tapped": "READ", "failed": "UNDELIVERED"}
_ROUTE = re.compile(r"(viber|vk|ok)(?:\((\d+)\)-sms)?")
_CHANNELS = {"viber": "viber", "vk": "social", "ok": "social"}
_SHOWN = {"image_url": "image", "btn_name": "button", "btn_url": "url", "template_id": "template"}


class SmartDelivery(WebService):
    """`POST /smartdelivery-in/multi.php`, a form; states go to the account's webhook.

    Where the route says so, an SMS follows a message that has failed, or was not delivered in
    time. Both have the number of the first.
    """

    paths = ("smartdelivery-in",)

    def __init__(
        self,
        *,
        login: str = "login",
        key: str = "key",
        phone: Phone | None = None,
        webhook: str = "",
    ) -> None:
        super().__init__(key=key, phone=phone)
        self.login, self.webhook = login, webhook
        self._waiting: dict[str, threading.Timer] = {}
        self._known: dict[int, tuple[str, str]] = {}

    def close(self) -> None:
        """Report nothing any more, and go on to nothing."""
        for timer in list(self._waiting.values()):
            timer.cancel()
        super().close()

    def reply(self, asked: Asked) -> Reply:
        """Answer a request."""
        form = dict(parse_qsl(asked.body.decode()))
        if (form.get("login"), form.get("password")) != (self.login, self.key):
            return _xml("<result>ERROR</result><code>410</code>")
        if form.get("operation") == "status":
            return _xml("<result>OK</result><code>0</code>")
        route = _ROUTE.fullmatch(form.get("route", ""))
        address = f"+{form.get('phones', '')}"
        if route is None or not form.get("message"):
            return _xml("<result>ERROR</result><code>400</code>")
        if address in self.faults.refused:
            return _xml("<result>ERROR</result><code>432</code>")
        if address in self.faults.busy:
            return _xml("<result>ERROR</result><code>1000</code>")
        taken = self._send(route[1], float(route[2] or 0), address, form)
        info = f"<phone>{form['phones']}</phone><id>{taken.id}</id>"
        return _xml(f"<result>OK</result><code>0</code><message_info>{info}</message_info>")

    def happened(self, taken: Taken, what: str) -> None:
        """Tell the webhook what became of a message, and go on where that is to be done."""
        channel, number = self._known[taken.number]
        if self.webhook:
            _tell(self, self.webhook, number, taken, _SMART[what], channel)
        if what == "failed":
            self.move_on(taken)
        elif timer := self._waiting.pop(taken.id, None):
            timer.cancel()

    def move_on(self, first: Taken) -> None:
        """Send the SMS that the request had for a message."""
        timer = self._waiting.pop(first.id, None)
        if timer is None:
            return
        timer.cancel()
        text = first.fields["param_sms"]
        sms = self.take(
            channel="sms", address=first.address, sender=first.sender, text=text, fields={}
        )
        self._known[sms.number] = "sms", first.id
        self.arrive(sms, partial(self.happened, sms), gsm.measure(text).parts)

    def _send(
        self, channel: str, wait_seconds: float, address: str, form: Mapping[str, str]
    ) -> Taken:
        taken = self.take(
            channel=_CHANNELS[channel],
            address=address,
            sender=form.get("originator", ""),
            text=form["message"],
            fields=form,
        )
        if wait_seconds:
            self._wait(taken, wait_seconds)
        shown = {ours: form[theirs] for theirs, ours in _SHOWN.items() if theirs in form}
        self._known[taken.number] = channel, taken.id
        self.arrive(taken, partial(self.happened, taken), fields=shown)
        return taken

    def _wait(self, taken: Taken, seconds: float) -> None:
        timer = threading.Timer(seconds, self.move_on, [taken])
        timer.daemon = True
        self._waiting[taken.id] = timer
        timer.start()


def _tell(
    service: WebService, url: str, number: str, taken: Taken, state: str, channel: str = "sms"
) -> None:
    found = {
        "sms_id": number,
        "phone_number": taken.address.removeprefix("+"),
        "status": state,
        "channel": channel,
    }
    service.post(url, json.dumps([found]).encode(), {"Content-Type": "application/json"})


def _xml(inside: str) -> Reply:
    body = f'<?xml version="1.0" encoding="UTF-8"?><reply>{inside}</reply>'
    return Reply(body=body.encode(), headers={"Content-Type": "text/xml"})


def _json(value: Mapping[str, Any], status: int = 200) -> Reply:
    return Reply(
        status=status,
        body=json.dumps(value).encode(),
        headers={"Content-Type": "application/json"},
    )
