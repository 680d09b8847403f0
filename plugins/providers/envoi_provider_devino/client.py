"""Devino's HTTP interface: many messages in one call, for every channel that it has.

As documented at docs.devino.online: `POST /<channel>/messages` with `{"messages": [...]}` is
answered with `{"result": [{"code", "messageId", "reasons"}]}` in the same order.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import quote

from pydantic import Field, SecretStr

from envoi.outgoing import (
    AccountSettings,
    Address,
    Answer,
    Client,
    Request,
    Result,
    Seconds,
    Secret,
    Sender,
    WebAccount,
    by_status,
    judged,
)
from envoi.types import Outgoing, SendResult, SendStatus

_FOR_NOW = ("INTERNAL_ERROR", "SERVICE_UNAVAILABLE", "TOO_MANY_REQUESTS")


class DevinoSettings(AccountSettings):
    """An account of Devino; the same for every channel."""

    url: Address = "https://api.devino.online"
    api_key: Secret = Field(title="API key")
    sender: Sender = ""
    callback_url: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        max_length=500,
        title="Address for reports",
        description="The webhook of this gateway. Empty: no reports come.",
    )
    callback_secret: Secret = Field(
        SecretStr(""),
        title="Secret of reports",
        description="Chosen by you; it is sent along and has to come back with each report.",
    )
    timeout: Seconds = 30


class DevinoAccount(WebAccount):
    """A configured account, for one of its channels."""

    name = "Devino"
    advice = "Check the API key."
    batch_size = 500
    path: ClassVar[str]

    def __init__(self, settings: DevinoSettings) -> None:
        super().__init__(settings.url, settings.timeout)
        self._settings = settings
        self._key = {"authorization": f"Key {settings.api_key.get_secret_value()}"}

    @abstractmethod
    def entry(self, message: Outgoing) -> Mapping[str, Any]:
        """Write what the channel has of its own into a message."""

    def question(self) -> Request:
        """Ask for the balance."""
        path = "/billing-api/companies/current/account"
        return Request(method="GET", path=path, headers=self._key)

    def written(self, *messages: Outgoing) -> Request:
        """Write one request for all messages."""
        written = [self._entry(message) for message in messages]
        return Request.of_json(self.path, {"messages": written}, self._key)

    def hand_over(self, client: Client, messages: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Hand all messages over in one call."""
        [answer] = self.exchange(client, [self.written(*messages)])
        found = _apart(answer, len(messages))
        if isinstance(answer, Answer) and answer.status == 400 and len(messages) > 1:
            # One that cannot be read keeps the others from being taken.
            alone = self.exchange(client, [self.written(message) for message in messages])
            found = [_apart(each, 1)[0] for each in alone]
        return judged(found, self.judge)

    def meaning(self, answer: Answer) -> SendResult:
        """Say what the answer for one message means."""
        if answer.status >= 300:
            return by_status(answer)
        entry, raw = answer.fields, answer.raw
        if entry["code"] == "OK":
            number = str(entry["messageId"])
            return SendResult(status=SendStatus.ACCEPTED, code=200, provider_id=number, raw=raw)
        reasons = [str(reason.get("key", "")) for reason in entry.get("reasons") or ()]
        is_for_now = any(reason.upper() in _FOR_NOW for reason in reasons)
        number = next(filter(str.isdecimal, reasons), "400")[:9]
        status = SendStatus.REFUSED_NOW if is_for_now else SendStatus.REFUSED
        return SendResult(status=status, code=int(number), raw=raw)

    def _entry(self, message: Outgoing) -> Mapping[str, Any]:
        settings = self._settings
        shared: dict[str, Any] = {
            "from": message.sender or settings.sender,
            "to": message.address.removeprefix("+"),
            "options": {"key": message.key},
        }
        if message.lifetime_seconds:
            shared["validity"] = message.lifetime_seconds
        if settings.callback_url:
            secret = quote(settings.callback_secret.get_secret_value(), safe="")
            shared["callbackUrl"] = f"{settings.callback_url}?secret={secret}"
        return {**shared, **self.entry(message)}


def _apart(answer: Result, count: int) -> Sequence[Result]:
    """Give each message its own part of the answer, where it has as many as there should be."""
    parts = answer.fields.get("result") if isinstance(answer, Answer) else None
    if not isinstance(answer, Answer) or not isinstance(parts, list) or len(parts) != count:
        return [answer] * count
    return [replace(answer, body=json.dumps(p, ensure_ascii=False).encode()) for p in parts]
