"""SmsTraffic's HTTP interface, version 2.

As documented at smstraffic.ru/api: `POST /v2/send` is answered with `{"success", "destinations":
[{"phone", "id"}]}`; a refusal stands in `error`, of the request or of the destination.
"""

from __future__ import annotations

from pydantic import Field, SecretStr

from envoi.outgoing import (
    AccountSettings,
    Address,
    Answer,
    Request,
    Seconds,
    Secret,
    Sender,
    WebAccount,
    by_status,
)
from envoi.types import Outgoing, SendResult, SendStatus

FOR_NOW = 1000
"""What SmsTraffic calls a passing trouble of its own."""


class ReportedSettings(AccountSettings):
    """An account of which SmsTraffic reports to a webhook."""

    report_secret: SecretStr = Field(
        SecretStr(""),
        max_length=200,
        title="Secret of reports",
        description="Chosen by you. Give SmsTraffic the webhook of this gateway with ?secret= and"
        " the secret behind it. Empty: no reports are taken.",
    )


class SmsTrafficSettings(ReportedSettings):
    """An account of SmsTraffic."""

    url: Address = "https://api.smstraffic.ru"
    api_key: Secret = Field(title="API key")
    sender: Sender = ""
    timeout: Seconds = 30


class SmsTrafficAccount(WebAccount):
    """A configured account."""

    name = "SmsTraffic"
    advice = "Check the API key."

    def __init__(self, settings: SmsTrafficSettings) -> None:
        super().__init__(settings.url, settings.timeout)
        self._sender = settings.sender
        self._key = {"authorization": f"Bearer {settings.api_key.get_secret_value()}"}

    def question(self) -> Request:
        """Ask for the account."""
        return Request(method="GET", path="/v2/account", headers=self._key)

    def written(self, message: Outgoing) -> Request:
        """Write the request for one SMS."""
        sms = {"message": message.payload.decode(), "transliterate": False}
        sender = message.sender or self._sender
        body = {
            "channels": {"sms": sms},
            "destinations": [{"to": int(message.address.removeprefix("+"))}],
            **({"originator": sender} if sender else {}),
        }
        return Request.of_json("/v2/send", body, self._key)

    def meaning(self, answer: Answer) -> SendResult:
        """Say what an answer means: a refusal stands beside a status of success."""
        if answer.status >= 300:
            return by_status(answer)
        found, raw = answer.fields, answer.raw
        if error := found.get("error") or found["destinations"][0].get("error"):
            code = int(error["code"])
            status = SendStatus.REFUSED_NOW if code == FOR_NOW else SendStatus.REFUSED
            return SendResult(status=status, code=code, raw=raw)
        number = str(found["destinations"][0]["id"])
        return SendResult(status=SendStatus.ACCEPTED, code=200, provider_id=number, raw=raw)
