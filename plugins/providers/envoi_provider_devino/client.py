"""Devino's HTTP interface: many messages in one call, for every channel that it has.

As documented at docs.devino.online: `POST /<channel>/messages` with `{"messages": [...]}` is
answered with `{"result": [{"code", "messageId", "reasons"}]}` in the same order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from envoi.errors import PermanentProviderError, TemporaryProviderError, UnansweredError
from envoi.outgoing import Answer, HttpClient
from envoi.types import Outgoing, SendResult, SendStatus

ACCOUNT = "/billing-api/companies/current/account"
TEST_SECONDS = 10.0
MOST_AT_ONCE = 500
_OF_ACCOUNT = (401, 402, 403, 404, 405)
_FOR_NOW = ("INTERNAL_ERROR", "SERVICE_UNAVAILABLE", "TOO_MANY_REQUESTS")

Entry = Callable[[Outgoing], Mapping[str, Any]]
"""Writes what a channel has of its own into a message."""


class DevinoSettings(BaseModel):
    """An account of Devino; the same for every channel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        "https://api.devino.online",
        pattern=r"^https?://[^\s/?#@]+$",
        max_length=200,
        title="Address",
    )
    api_key: SecretStr = Field(
        max_length=500, title="API key", json_schema_extra={"sent_to": "url"}
    )
    sender: str = Field(
        "",
        max_length=20,
        title="Usual sender",
        description="As it is approved, for messages that name none.",
    )
    callback_url: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        max_length=500,
        title="Address for reports",
        description="The webhook of this gateway. Empty: no reports come.",
    )
    callback_secret: SecretStr = Field(
        SecretStr(""),
        max_length=200,
        title="Secret of reports",
        description="Chosen by you; it is sent along and has to come back with each report.",
        json_schema_extra={"sent_to": "url"},
    )
    timeout: float = Field(30, gt=0, le=120, title="Time to answer", description="In seconds.")


class DevinoProvider:
    """A configured account, for one of its channels."""

    def __init__(self, settings: DevinoSettings, path: str, entry: Entry) -> None:
        self._settings, self._path, self._entry = settings, path, entry

    def connect(self) -> DevinoConnection:
        """Open a connection; raise `ProviderError` when that fails."""
        return DevinoConnection(self._settings, self._path, self._entry)

    def test(self) -> str:
        """Ask for the balance, and return Devino's own words."""
        client = HttpClient(timeout=min(self._settings.timeout, TEST_SECONDS))
        try:
            answer = client.request(
                "GET", self._settings.url + ACCOUNT, headers=_headers(self._settings)
            )
        except UnansweredError as error:
            raise TemporaryProviderError(str(error)) from error
        finally:
            client.close()
        _require_account(answer)
        return answer.raw


class DevinoConnection:
    """A kept connection; see `envoi.types.BatchConnection`."""

    batch_size = MOST_AT_ONCE

    def __init__(self, settings: DevinoSettings, path: str, entry: Entry) -> None:
        self._settings, self._path, self._entry = settings, path, entry
        self._client = HttpClient(timeout=settings.timeout, connections=1)
        self._client.reach(settings.url)

    def send(self, message: Outgoing) -> SendResult:
        """Hand one message over."""
        return self.send_batch([message])[0]

    def send_batch(self, messages: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Hand messages over in one call."""
        body = json.dumps({"messages": [self._written(message) for message in messages]})
        try:
            answer = self._client.request(
                "POST",
                self._settings.url + self._path,
                headers=_headers(self._settings),
                content=body.encode(),
            )
        except UnansweredError as error:
            return [SendResult(status=SendStatus.UNKNOWN, raw=str(error))] * len(messages)
        if answer.status == 400 and len(messages) > 1:
            # One that cannot be read keeps the others from being taken.
            return [self.send(message) for message in messages]
        return _judged(answer, len(messages))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _written(self, message: Outgoing) -> Mapping[str, Any]:
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
        return {**shared, **self._entry(message)}


def _headers(settings: DevinoSettings) -> Mapping[str, str]:
    return {
        "Authorization": f"Key {settings.api_key.get_secret_value()}",
        "Content-Type": "application/json",
    }


def _judged(answer: Answer, count: int) -> Sequence[SendResult]:
    _require_account(answer)
    status, raw = answer.status, answer.raw
    if status < 300:
        return _results(answer, count)
    outcome = SendStatus.UNKNOWN if status >= 500 else SendStatus.REFUSED
    if status == 429:
        outcome = SendStatus.THROTTLED
    return [SendResult(status=outcome, code=status, raw=raw)] * count


def _require_account(answer: Answer) -> None:
    status = answer.status
    if status in _OF_ACCOUNT or 300 <= status < 400:
        raise PermanentProviderError(
            f"Devino refuses the account or the address (HTTP {status}). Check the API key.",
            raw=answer.raw,
        )
    if status == 503 or (status == 429 and answer.retry_after):
        raise TemporaryProviderError(
            f"Devino asks us to wait (HTTP {status}).",
            raw=answer.raw,
            retry_after=answer.retry_after,
        )


def _results(answer: Answer, count: int) -> Sequence[SendResult]:
    """What was not answered in the way that is documented may have been taken."""
    try:
        entries = json.loads(answer.body)["result"]
        return [_result(entry) for entry, _ in zip(entries, range(count), strict=True)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return [SendResult(status=SendStatus.UNKNOWN, code=answer.status, raw=answer.raw)] * count


def _result(entry: Mapping[str, Any]) -> SendResult:
    raw = json.dumps(entry, ensure_ascii=False)[:2_000]
    if entry["code"] == "OK":
        number = str(entry["messageId"])
        return SendResult(status=SendStatus.ACCEPTED, code=200, provider_id=number, raw=raw)
    reasons = [str(reason.get("key", "")) for reason in entry.get("reasons") or ()]
    is_for_now = any(reason.upper() in _FOR_NOW for reason in reasons)
    number = next(filter(str.isdecimal, reasons), "400")[:9]
    status = SendStatus.REFUSED_NOW if is_for_now else SendStatus.REFUSED
    return SendResult(status=status, code=int(number), raw=raw)
