"""SmsTraffic's HTTP interface, version 2.

As documented at smstraffic.ru/api: `POST /v2/send` is answered with `{"success", "destinations":
[{"phone", "id"}]}`; a refusal stands in `error`, of the request or of the destination.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from envoi.errors import PermanentProviderError, TemporaryProviderError, UnansweredError
from envoi.outgoing import Answer, HttpClient
from envoi.types import Outgoing, SendResult, SendStatus

TEST_SECONDS = 10.0
_OF_ACCOUNT = (401, 402, 403, 404, 405)
_FOR_NOW = 1000
"""What SmsTraffic calls a passing trouble of its own."""


class SmsTrafficSettings(BaseModel):
    """An account of SmsTraffic."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        "https://api.smstraffic.ru",
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
    report_secret: SecretStr = Field(
        SecretStr(""),
        max_length=200,
        title="Secret of reports",
        description="Chosen by you. Give SmsTraffic the webhook of this gateway with ?secret= and"
        " the secret behind it. Empty: no reports are taken.",
    )
    timeout: float = Field(30, gt=0, le=120, title="Time to answer", description="In seconds.")


class SmsTrafficProvider:
    """A configured account."""

    def __init__(self, settings: SmsTrafficSettings) -> None:
        self._settings = settings

    def connect(self) -> SmsTrafficConnection:
        """Open a connection; raise `ProviderError` when that fails."""
        return SmsTrafficConnection(self._settings)

    def test(self) -> str:
        """Ask for the account, and return SmsTraffic's own words."""
        client = HttpClient(timeout=min(self._settings.timeout, TEST_SECONDS))
        try:
            url = f"{self._settings.url}/v2/account"
            answer = client.request("GET", url, headers=_headers(self._settings))
        except UnansweredError as error:
            raise TemporaryProviderError(str(error)) from error
        finally:
            client.close()
        _require_account(answer)
        return answer.raw


class SmsTrafficConnection:
    """A kept connection; see `envoi.types.Connection`."""

    def __init__(self, settings: SmsTrafficSettings) -> None:
        self._settings = settings
        self._client = HttpClient(timeout=settings.timeout, connections=1)
        self._client.reach(settings.url)

    def send(self, message: Outgoing) -> SendResult:
        """Hand one message over."""
        try:
            answer = self._client.request(
                "POST",
                f"{self._settings.url}/v2/send",
                headers=_headers(self._settings),
                content=json.dumps(self._written(message)).encode(),
            )
        except UnansweredError as error:
            return SendResult(status=SendStatus.UNKNOWN, raw=str(error))
        return _judged(answer)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _written(self, message: Outgoing) -> Mapping[str, Any]:
        sms = {"message": message.payload.decode(), "transliterate": False}
        sender = message.sender or self._settings.sender
        return {
            "channels": {"sms": sms},
            "destinations": [{"to": int(message.address.removeprefix("+"))}],
            **({"originator": sender} if sender else {}),
        }


def _headers(settings: SmsTrafficSettings) -> Mapping[str, str]:
    return {
        "Authorization": f"Bearer {settings.api_key.get_secret_value()}",
        "Content-Type": "application/json",
    }


def _judged(answer: Answer) -> SendResult:
    _require_account(answer)
    status, raw = answer.status, answer.raw
    if status < 300:
        return _result(answer)
    outcome = SendStatus.UNKNOWN if status >= 500 else SendStatus.REFUSED
    return SendResult(
        status=SendStatus.THROTTLED if status == 429 else outcome, code=status, raw=raw
    )


def _require_account(answer: Answer) -> None:
    status = answer.status
    if status in _OF_ACCOUNT or 300 <= status < 400:
        raise PermanentProviderError(
            f"SmsTraffic refuses the account or the address (HTTP {status}). Check the API key.",
            raw=answer.raw,
        )
    if status == 503 or (status == 429 and answer.retry_after):
        raise TemporaryProviderError(
            f"SmsTraffic asks us to wait (HTTP {status}).",
            raw=answer.raw,
            retry_after=answer.retry_after,
        )


def _result(answer: Answer) -> SendResult:
    """What was not answered in the way that is documented may have been taken."""
    raw = answer.raw
    try:
        found = json.loads(answer.body)
        error = found.get("error") or found["destinations"][0].get("error")
        if error:
            code = int(error["code"])
            is_for_now = code == _FOR_NOW
            status = SendStatus.REFUSED_NOW if is_for_now else SendStatus.REFUSED
            return SendResult(status=status, code=code, raw=raw)
        number = str(found["destinations"][0]["id"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return SendResult(status=SendStatus.UNKNOWN, code=answer.status, raw=raw)
    return SendResult(status=SendStatus.ACCEPTED, code=answer.status, provider_id=number, raw=raw)
