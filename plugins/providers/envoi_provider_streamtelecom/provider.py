"""Stream Telecom's HTTP interface.

As published: `POST Send/SendSms/` with a form is answered with a list of the parts' numbers, or
with `{"Code", "Desc"}` where it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import Field

from envoi.outgoing import (
    AccountSettings,
    Answer,
    Request,
    Seconds,
    Secret,
    Sender,
    WebAccount,
    by_status,
)
from envoi.types import Outgoing, SendResult, SendStatus, Submission

_ACCOUNT_CODES = (3, 4, 5, 7)
"""No such session, not authorized, no money, forbidden."""
_STATUSES = {
    **dict.fromkeys((1, 2, 6), SendStatus.REFUSED),
    **dict.fromkeys((8, 9), SendStatus.UNKNOWN),
    10: SendStatus.REFUSED_NOW,
}
"""8 and 9 are troubles of the gateway and of the server, which may come after the message was
taken; 10 is too many messages to one number."""


class StreamTelecomSettings(AccountSettings):
    """An account of Stream Telecom."""

    url: str = Field(
        "https://gateway.api.sc/rest",
        pattern=r"^https?://[^\s?#@]*[^\s?#@/]$",
        max_length=200,
        title="Address",
    )
    login: str = Field(min_length=1, max_length=200, title="User name")
    password: Secret = Field(title="Password")
    sender: Sender = ""
    timeout: Seconds = 30


class StreamTelecomAccount(WebAccount):
    """A configured account."""

    name = "Stream Telecom"
    advice = "Check user name, password and balance."

    def __init__(self, settings: StreamTelecomSettings) -> None:
        super().__init__(settings.url, settings.timeout)
        self._settings = settings

    def question(self) -> Request:
        """Ask for the balance."""
        return self._asked("/Balance/balance.php", {})

    def written(self, message: Outgoing) -> Request:
        """Write the request for one SMS."""
        form = {
            "sourceAddress": message.sender or self._settings.sender,
            "destinationAddress": message.address.removeprefix("+"),
            "data": message.payload.decode(),
        }
        if message.lifetime_seconds:
            form["validity"] = str(-(-message.lifetime_seconds // 60))
        return self._asked("/Send/SendSms/", form)

    def is_refused(self, answer: Answer) -> bool:
        """Whether its code says so, or its status where it has none."""
        code = _code(answer)
        return code in _ACCOUNT_CODES or (not code and super().is_refused(answer))

    def meaning(self, answer: Answer) -> SendResult:
        """Say what an answer means: a code, or the parts' numbers."""
        if code := _code(answer):
            status = _STATUSES.get(code, SendStatus.REFUSED)
            return SendResult(status=status, code=code, raw=answer.raw)
        if answer.status >= 300 or not (numbers := _numbers(answer)):
            return by_status(answer)
        parts = tuple(
            Submission(number=place, status=SendStatus.ACCEPTED, provider_id=number)
            for place, number in enumerate(numbers, 1)
        )
        return SendResult(
            status=SendStatus.ACCEPTED,
            code=200,
            provider_id=numbers[0],
            raw=answer.raw,
            submissions=parts if len(parts) > 1 else (),
        )

    def _asked(self, path: str, form: Mapping[str, str]) -> Request:
        settings = self._settings
        account = {"login": settings.login, "pass": settings.password.get_secret_value()}
        return Request.of_form(path, {**account, **form})


def _code(answer: Answer) -> int:
    """The number of a refusal, 0 where the answer is none."""
    code = str(answer.fields.get("Code", ""))
    return int(code) if code.isdecimal() and len(code) < 10 else 0


def _numbers(answer: Answer) -> list[str]:
    found = json.loads(answer.body)
    is_as_documented = isinstance(found, list) and all(isinstance(n, str | int) for n in found)
    return [str(number) for number in found if number] if is_as_documented else []
