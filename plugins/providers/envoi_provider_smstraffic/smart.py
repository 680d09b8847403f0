"""SmsTraffic's Smart Delivery: Viber and social networks, and an SMS where those do not arrive.

As its public clients show it: a form that is posted to `multi.php` is answered with XML, which
holds `<result>`, `<code>` and the `<id>` of the message. `route` names the channels with how long
each may take, as in `viber(600)-sms`; `message` is the text, and `param_sms` that of the SMS.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from pydantic import Field

from envoi.outgoing import Address, Answer, Request, Seconds, Secret, Sender, WebAccount, by_status
from envoi.types import NextStep, Outgoing, SendResult, SendStatus
from envoi_provider_smstraffic.provider import FOR_NOW, ReportedSettings

PATH = "/smartdelivery-in/multi.php"
_UNICODE = 5
_FIELD = re.compile(r"<(result|code|id)>\s*([^<]*?)\s*</\1>")


class SmartSettings(ReportedSettings):
    """An account of Smart Delivery."""

    url: Address = "https://sds.smstraffic.ru"
    login: str = Field(max_length=100, title="Login")
    password: Secret = Field(title="Password")
    sender: Sender = ""
    moves_on: bool = Field(
        True,
        title="SmsTraffic sends the SMS of a cascade",
        description="Where an SMS follows the message, SmsTraffic gets both in one request. Off:"
        " Envoi waits, and sends the SMS by the gateway for SMS.",
    )
    timeout: Seconds = 30


class ViberSettings(SmartSettings):
    """An account for Viber."""


class Network(StrEnum):
    """A social network, as routes name it."""

    VK = "vk"
    OK = "ok"

    @property
    def label(self) -> str:
        """What a person chooses."""
        return {Network.VK: "VK", Network.OK: "Odnoklassniki"}[self]


class SocialSettings(SmartSettings):
    """An account for a social network."""

    network: Network = Field(Network.VK, title="Network")


def takes_over(settings: SmartSettings, steps: Sequence[NextStep]) -> bool:
    """Whether Smart Delivery goes on: to an SMS, where the message was not delivered."""
    return settings.moves_on and [(s.channel, s.success) for s in steps] == [("sms", "delivered")]


def viber_account(settings: ViberSettings) -> SmartAccount:
    """Open an account for Viber."""
    names = {"message": "text", "image_url": "image", "btn_name": "button", "btn_url": "url"}
    return SmartAccount(settings, "viber", names)


def social_account(settings: SocialSettings) -> SmartAccount:
    """Open an account for a social network."""
    names = {"message": "text", "template_id": "template"}
    return SmartAccount(settings, settings.network, names)


class SmartAccount(WebAccount):
    """A configured account, for one channel."""

    name = "SmsTraffic"
    advice = "Check login and password."

    def __init__(self, settings: SmartSettings, channel: str, names: Mapping[str, str]) -> None:
        super().__init__(settings.url, settings.timeout)
        self._sender, self._channel, self._names = settings.sender, channel, names
        password = settings.password.get_secret_value()
        self._account = {"login": settings.login, "password": password}

    def question(self) -> Request:
        """Ask for the state of a message that is not there."""
        return Request.of_form(PATH, {**self._account, "operation": "status", "sms_id": "1"})

    def is_well(self, answer: Answer) -> bool:
        """Whether the question was answered, and not refused with a status of success."""
        return super().is_well(answer) and _fields(answer).get("result") == "OK"

    def written(self, message: Outgoing) -> Request:
        """Write the request for one message, with the SMS that may follow it."""
        given = json.loads(message.payload)
        form: dict[str, Any] = {
            **self._account,
            "phones": message.address.removeprefix("+"),
            "originator": message.sender or self._sender,
            "want_sms_ids": 1,
            "rus": _UNICODE,
            "route": self._channel,
            **{theirs: given[ours] for theirs, ours in self._names.items()},
        }
        for sms in message.then:
            form["route"] = f"{self._channel}({sms.wait_seconds})-sms"
            form["param_sms"] = sms.payload.decode()
        return Request.of_form(PATH, {name: value for name, value in form.items() if value})

    def meaning(self, answer: Answer) -> SendResult:
        """Say what an answer means: a refusal has a status of success."""
        if answer.status >= 300:
            return by_status(answer)
        found, raw = _fields(answer), answer.raw
        if found["result"] != "OK":
            code = int(found["code"])
            status = SendStatus.REFUSED_NOW if code == FOR_NOW else SendStatus.REFUSED
            return SendResult(status=status, code=code, raw=raw)
        return SendResult(status=SendStatus.ACCEPTED, code=200, provider_id=found["id"], raw=raw)


def _fields(answer: Answer) -> dict[str, str]:
    return dict(_FIELD.findall(answer.body.decode(errors="replace")))
