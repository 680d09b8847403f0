"""RuStore push notifications by their HTTP API, as documented at rustore.ru/help."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from envoi.http2 import Http2Client
from envoi.outgoing import (
    AccountSettings,
    Answer,
    Request,
    Secret,
    TestAddress,
    WebAccount,
    push_parts,
)
from envoi.types import Outgoing, SendResult, SendStatus

URL = "https://vkpns.rustore.ru"


class RuStoreSettings(AccountSettings):
    """A push project at RuStore and how to get in."""

    project_id: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,100}$",
        title="Project ID",
        description="In RuStore Console open the app, Push notifications, Projects.",
    )
    service_token: Secret = Field(
        title="Service token", description="It stands beside the project ID."
    )
    url: TestAddress = ""


class RuStoreAccount(WebAccount):
    """A push project at RuStore."""

    name = "RuStore"
    advice = "Check project ID and service token."
    client = Http2Client
    batch_size = 100
    quota_seconds = 60.0

    def __init__(self, settings: RuStoreSettings) -> None:
        super().__init__(settings.url or URL)
        self._path = f"/v1/projects/{settings.project_id}/messages:send"
        self._shows = {"authorization": f"Bearer {settings.service_token.get_secret_value()}"}

    def question(self) -> Request:
        """Have a message to nobody checked."""
        shown = {"title": "Envoi", "body": "Envoi"}
        message = {"token": "envoi-connection-test", "notification": shown}
        body = {"validate_only": True, "message": message}
        return Request.of_json(self._path, body, self._shows)

    def is_well(self, answer: Answer) -> bool:
        """That its token is none shows that all else is well."""
        return answer.status == 200 or _code(answer) in ("NOT_FOUND", "INVALID_ARGUMENT")

    def written(self, message: Outgoing) -> Request:
        """Write a message."""
        shown, data = push_parts(message)
        found: dict[str, Any] = {"token": message.address, "notification": shown, "data": data}
        if message.lifetime_seconds:
            found["android"] = {"ttl": f"{message.lifetime_seconds}s"}
        return Request.of_json(self._path, {"message": found}, self._shows)

    def is_refused(self, answer: Answer) -> bool:
        """Whether it is the project that is refused; a 404 may be a token's."""
        is_no_token = answer.status == 404 and _code(answer) != "NOT_FOUND"
        return answer.status in (401, 403) or is_no_token

    def meaning(self, answer: Answer) -> SendResult:
        """Read an answer by the table of RuStore's errors."""
        code, raw = _code(answer), answer.raw
        if answer.status == 200 and code in ("", "OK"):
            return SendResult(status=SendStatus.ACCEPTED, code=200, raw=raw)
        if answer.status >= 500 or not code:
            return SendResult(status=SendStatus.REFUSED_NOW, code=answer.status, raw=raw)
        is_gone = answer.status == 404 and self.has_taken
        return SendResult(
            status=SendStatus.REFUSED, code=answer.status, raw=raw, address_gone=is_gone
        )


def _code(answer: Answer) -> str | None:
    """The word for an error; empty where there is none, and None for what is no answer."""
    if not answer.fields:
        return "" if answer.body in (b"", b"{}") else None
    error = answer.fields.get("error", answer.fields)
    return str(error.get("status", "")) if isinstance(error, dict) else None
