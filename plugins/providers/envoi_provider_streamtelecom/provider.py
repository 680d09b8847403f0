"""Stream Telecom's HTTP interface.

As published: `POST Send/SendSms/` with a form is answered with a list of the parts' numbers, or
with `{"Code", "Desc"}` where it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from envoi.errors import PermanentProviderError, TemporaryProviderError, UnansweredError
from envoi.outgoing import Answer, HttpClient
from envoi.types import Outgoing, SendResult, SendStatus, Submission

TEST_SECONDS = 10.0
_OF_ACCOUNT = (401, 402, 403, 404, 405)
_ACCOUNT_CODES = (3, 4, 5, 7)
"""No such session, not authorized, no money, forbidden."""
_STATUSES = {
    **dict.fromkeys((1, 2, 6), SendStatus.REFUSED),
    **dict.fromkeys((8, 9), SendStatus.UNKNOWN),
    10: SendStatus.REFUSED_NOW,
}
"""8 and 9 are troubles of the gateway and of the server, which may come after the message was
taken; 10 is too many messages to one number."""


class StreamTelecomSettings(BaseModel):
    """An account of Stream Telecom."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        "https://gateway.api.sc/rest",
        pattern=r"^https?://[^\s?#@]*[^\s?#@/]$",
        max_length=200,
        title="Address",
    )
    login: str = Field(min_length=1, max_length=200, title="User name")
    password: SecretStr = Field(
        max_length=500, title="Password", json_schema_extra={"sent_to": "url"}
    )
    sender: str = Field(
        "",
        max_length=20,
        title="Usual sender",
        description="As it is approved, for messages that name none.",
    )
    timeout: float = Field(30, gt=0, le=120, title="Time to answer", description="In seconds.")


class StreamTelecomProvider:
    """A configured account."""

    def __init__(self, settings: StreamTelecomSettings) -> None:
        self._settings = settings

    def connect(self) -> StreamTelecomConnection:
        """Open a connection; raise `ProviderError` when that fails."""
        return StreamTelecomConnection(self._settings)

    def test(self) -> str:
        """Ask for the balance, and return Stream Telecom's own words."""
        client = HttpClient(timeout=min(self._settings.timeout, TEST_SECONDS))
        try:
            answer = _asked(client, self._settings, "Balance/balance.php", {})
        except UnansweredError as error:
            raise TemporaryProviderError(str(error)) from error
        finally:
            client.close()
        _require_account(answer)
        return answer.raw


class StreamTelecomConnection:
    """A kept connection; see `envoi.types.Connection`."""

    def __init__(self, settings: StreamTelecomSettings) -> None:
        self._settings = settings
        self._client = HttpClient(timeout=settings.timeout, connections=1)
        self._client.reach(settings.url)

    def send(self, message: Outgoing) -> SendResult:
        """Hand one message over."""
        try:
            answer = _asked(self._client, self._settings, "Send/SendSms/", self._written(message))
        except UnansweredError as error:
            return SendResult(status=SendStatus.UNKNOWN, raw=str(error))
        _require_account(answer)
        return _judged(answer)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _written(self, message: Outgoing) -> Mapping[str, str]:
        form = {
            "sourceAddress": message.sender or self._settings.sender,
            "destinationAddress": message.address.removeprefix("+"),
            "data": message.payload.decode(),
        }
        if message.lifetime_seconds:
            form["validity"] = str(-(-message.lifetime_seconds // 60))
        return form


def _asked(
    client: HttpClient, settings: StreamTelecomSettings, path: str, form: Mapping[str, str]
) -> Answer:
    account = {"login": settings.login, "pass": settings.password.get_secret_value()}
    return client.request(
        "POST",
        f"{settings.url}/{path}",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        content=urlencode({**account, **form}).encode(),
    )


def _require_account(answer: Answer) -> None:
    status, code = answer.status, _code(answer)
    if code in _ACCOUNT_CODES or (not code and (status in _OF_ACCOUNT or 300 <= status < 400)):
        raise PermanentProviderError(
            f"Stream Telecom refuses the account or the address (HTTP {status})."
            " Check user name, password and balance.",
            raw=answer.raw,
        )
    if status == 503 or (status == 429 and answer.retry_after):
        raise TemporaryProviderError(
            f"Stream Telecom asks us to wait (HTTP {status}).",
            raw=answer.raw,
            retry_after=answer.retry_after,
        )


def _judged(answer: Answer) -> SendResult:
    code, raw = _code(answer), answer.raw
    if code:
        status = _STATUSES.get(code, SendStatus.REFUSED)
        return SendResult(status=status, code=code, raw=raw)
    if answer.status == 429:
        return SendResult(status=SendStatus.THROTTLED, code=429, raw=raw)
    if 400 <= answer.status < 500:
        return SendResult(status=SendStatus.REFUSED, code=answer.status, raw=raw)
    return _accepted(answer, raw)


def _code(answer: Answer) -> int:
    """The number of a refusal, 0 where the answer is none."""
    try:
        return int(json.loads(answer.body)["Code"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return 0


def _accepted(answer: Answer, raw: str) -> SendResult:
    """What was not answered in the way that is documented may have been taken."""
    numbers = _numbers(answer)
    if answer.status >= 300 or not numbers:
        return SendResult(status=SendStatus.UNKNOWN, code=answer.status, raw=raw)
    parts = tuple(
        Submission(number=place, status=SendStatus.ACCEPTED, provider_id=number)
        for place, number in enumerate(numbers, 1)
    )
    return SendResult(
        status=SendStatus.ACCEPTED,
        code=answer.status,
        provider_id=numbers[0],
        raw=raw,
        submissions=parts if len(parts) > 1 else (),
    )


def _numbers(answer: Answer) -> list[str]:
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return []
    is_as_documented = isinstance(found, list) and all(isinstance(n, str | int) for n in found)
    return [str(number) for number in found if number] if is_as_documented else []
