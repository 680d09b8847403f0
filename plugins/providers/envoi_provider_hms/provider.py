"""Huawei Push Kit by its REST API v1, as documented at developer.huawei.com."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field

from envoi.access import TokenAccount
from envoi.outgoing import AccountSettings, Answer, Request, Secret, TestAddress, push_parts
from envoi.types import Outgoing, SendResult, SendStatus

URL = "https://push-api.cloud.huawei.com"
ACCESS_URL = "https://oauth-login.cloud.huawei.com"
LONGEST_LIFE = 1_296_000

_TAKEN, _PARTLY, _ALL_ILLEGAL = "80000000", "80100000", "80300007"
_OLD_TOKEN = {"80200001", "80200003"}
_STRANGER = {*_OLD_TOKEN, "80300002"}
_THEIR_FAULT = {"80600003", "81000001", ""}


class HmsSettings(AccountSettings):
    """An app at Huawei and how to get in."""

    client_id: str = Field(
        pattern=r"^[0-9]{1,30}$",
        title="Client ID",
        description="Of OAuth 2.0: in AppGallery Connect open Project settings.",
    )
    client_secret: Secret = Field(
        title="Client secret", description="It stands below the client ID."
    )
    title: str = Field(
        min_length=1,
        max_length=40,
        title="Usual title",
        description="Huawei shows no message without one; of messages that have none.",
    )
    url: TestAddress = ""


class HmsAccount(TokenAccount):
    """An app at Huawei.

    It says the same of every token where the gateway belongs to another app, so a token is
    called unknown only after a message was taken.
    """

    name = "Huawei"
    advice = "Check client ID, client secret and the app's rights."
    batch_size = 100

    def __init__(self, settings: HmsSettings) -> None:
        super().__init__(settings.url or URL)
        self._settings = settings
        self._path = f"/v1/{settings.client_id}/messages:send"

    def token_request(self) -> tuple[str, Request]:
        """Ask for a token by the app's secret."""
        settings = self._settings
        form = {
            "grant_type": "client_credentials",
            "client_id": settings.client_id,
            "client_secret": settings.client_secret.get_secret_value(),
        }
        return settings.url or ACCESS_URL, Request.of_form("/oauth2/v3/token", form)

    def question(self) -> Request:
        """Have a message to nobody checked."""
        message = {
            "notification": {"title": self._settings.title, "body": "Envoi"},
            "android": {"notification": {"click_action": {"type": 3}}},
            "token": ["envoi-connection-test"],
        }
        return Request.of_json(self._path, {"validate_only": True, "message": message})

    def is_well(self, answer: Answer) -> bool:
        """That its token is none shows that all else is well."""
        return _code(answer) in (_TAKEN, _PARTLY, _ALL_ILLEGAL)

    def written(self, message: Outgoing) -> Request:
        """Write a message; the same key takes the place of an earlier one."""
        shown, data = push_parts(message)
        opens_app = {"tag": message.key, "click_action": {"type": 3}}
        android: dict[str, Any] = {"notification": opens_app}
        if message.lifetime_seconds:
            android["ttl"] = f"{min(message.lifetime_seconds, LONGEST_LIFE)}s"
        found = {
            "notification": {"title": self._settings.title, **shown},
            "data": json.dumps(data, ensure_ascii=False),
            "android": android,
            "token": [message.address],
        }
        return Request.of_json(self._path, {"message": found})

    def is_old_token(self, answer: Answer) -> bool:
        """Whether the code says so."""
        return _code(answer) in _OLD_TOKEN

    def is_refused(self, answer: Answer) -> bool:
        """Whether it is the app that is refused."""
        return _code(answer) in _STRANGER or answer.status in (401, 404)

    def meaning(self, answer: Answer) -> SendResult:
        """Read an answer by the table of Huawei's codes."""
        code, raw = _code(answer), answer.raw
        if answer.status >= 500 or code in _THEIR_FAULT:
            return SendResult(status=SendStatus.REFUSED_NOW, code=answer.status, raw=raw)
        is_illegal = code == _ALL_ILLEGAL or (code == _PARTLY and _names_illegal(answer))
        if not is_illegal and code in (_TAKEN, _PARTLY):
            name = str(answer.fields.get("requestId", ""))
            return SendResult(status=SendStatus.ACCEPTED, code=200, provider_id=name, raw=raw)
        return SendResult(
            status=SendStatus.REFUSED,
            code=int(code) if code.isdecimal() and len(code) < 10 else answer.status,
            raw=raw,
            address_gone=is_illegal and self.has_taken,
        )


def _code(answer: Answer) -> str:
    return str(answer.fields.get("code", ""))


def _names_illegal(answer: Answer) -> bool:
    """Whether an answer lists illegal tokens: its message is JSON itself."""
    try:
        return bool(json.loads(answer.fields["msg"])["illegal_tokens"])
    except (ValueError, LookupError, TypeError):
        return False
