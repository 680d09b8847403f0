"""Hands messages to FCM, many at once, and reads its answers by the table of its errors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any

from envoi.access import AccessToken
from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.http2 import Http2Client
from envoi.outgoing import Answer, Request, Result, judged
from envoi.types import Connection, Outgoing, SendResult, SendStatus
from envoi_provider_fcm.access import ask_for_token
from envoi_provider_fcm.settings import FcmSettings

LONGEST_LIFE = 2_419_200
QUOTA_SECONDS = 60.0
"""How long to wait after a used-up quota where FCM does not say it."""

_NOBODY = "envoi-connection-test"
_STRANGER = {"UNAUTHENTICATED", "PERMISSION_DENIED"}
_MOST_RAW = 500


class FcmProvider:
    """A Firebase project."""

    def __init__(self, settings: FcmSettings) -> None:
        self._url = settings.url
        key_file = settings.key_file
        self._path = f"/v1/projects/{key_file.project_id}/messages:send"
        self._access = AccessToken(partial(ask_for_token, key_file))
        self._rests_until = 0.0

    def connect(self) -> Connection:
        """Get a token of access and connect."""
        client = Http2Client(self._url)
        self._access.token()
        client.connect()
        return _FcmConnection(self, client)

    def test(self) -> str:
        """Have a message to nobody checked: that its token is none shows that all else is well."""
        connection = _FcmConnection(self, Http2Client(self._url))
        message = {"token": _NOBODY, "notification": {"title": "Envoi"}}
        try:
            [answer] = connection.exchange([{"validate_only": True, "message": message}])
        finally:
            connection.close()
        [result] = judged([answer], self.judge)
        if result.status is not SendStatus.REFUSED or result.code not in (400, 404):
            raise TemporaryProviderError("FCM does not answer as it should.", raw=result.raw)
        return f"The project lets us in. FCM said: {result.raw}"

    def ask(self, client: Http2Client, bodies: Sequence[Mapping[str, Any]]) -> list[Result]:
        """Send requests; while FCM asked us to wait, raise instead."""
        if (left := self._rests_until - monotonic()) > 0:
            raise TemporaryProviderError("FCM asked us to wait.", retry_after=left)
        token = self._access.token()
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        requests = [Request(path=self._path, headers=headers, body=_json(body)) for body in bodies]
        answers = client.exchange(requests)
        if any(isinstance(answer, Answer) and answer.status == 401 for answer in answers):
            self._access.forget(token)
        return answers

    def judge(self, answer: Answer) -> SendResult:
        """Say what an answer means for its message; raise where it is about the account."""
        raw = answer.body.decode("utf-8", "replace")
        found = _parsed(raw)
        if answer.status == 200 and "name" in found:
            name = str(found["name"])
            return SendResult(status=SendStatus.ACCEPTED, code=200, provider_id=name, raw=name)
        code, fields = _error(found)
        raw = raw[:_MOST_RAW]
        if answer.status in (429, 503):
            wait = answer.retry_after
            if wait is None and answer.status == 429:
                wait = QUOTA_SECONDS
            self._rests_until = max(self._rests_until, monotonic() + (wait or 0))
            words = "FCM takes no more messages at the moment."
            raise TemporaryProviderError(words, raw=raw, retry_after=wait)
        if code in _STRANGER or (answer.status == 404 and code != "UNREGISTERED"):
            words = "FCM does not let this project in. Check the key file and the project's rights."
            raise PermanentProviderError(words, raw=raw)
        if answer.status >= 500 or code in ("", "THIRD_PARTY_AUTH_ERROR"):
            return SendResult(status=SendStatus.REFUSED_NOW, code=answer.status, raw=raw)
        names_token = code == "INVALID_ARGUMENT" and fields == {"message.token"}
        return SendResult(
            status=SendStatus.REFUSED,
            code=answer.status,
            raw=raw,
            address_gone=code == "UNREGISTERED" or names_token,
        )


class _FcmConnection:
    """A connection over which many messages are on their way at once."""

    batch_size = 100

    def __init__(self, provider: FcmProvider, client: Http2Client) -> None:
        self._provider, self._client = provider, client

    def send(self, message: Outgoing) -> SendResult:
        """Hand one message over."""
        return self.send_batch([message])[0]

    def send_batch(self, messages: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Hand messages over; raise only when FCM has taken or refused none of them."""
        answers = self.exchange([{"message": fcm_message(each)} for each in messages])
        return judged(answers, self._provider.judge)

    def exchange(self, bodies: Sequence[Mapping[str, Any]]) -> list[Result]:
        """Send requests and return their answers."""
        return self._provider.ask(self._client, bodies)

    def close(self) -> None:
        """Hang up."""
        self._client.close()


def fcm_message(outgoing: Outgoing) -> dict[str, Any]:
    """Turn a push message into FCM's; the same key takes the place of an earlier message."""
    fields = json.loads(outgoing.payload)
    shown = {"title": fields["title"], "body": fields["text"], "image": fields["image"]}
    data = {**fields["data"], "link": fields["link"], "envoi_message": outgoing.key}
    android: dict[str, Any] = {"priority": "HIGH", "notification": {"tag": outgoing.key}}
    if outgoing.lifetime_seconds:
        android["ttl"] = f"{min(outgoing.lifetime_seconds, LONGEST_LIFE)}s"
    return {
        "token": outgoing.address,
        "notification": {name: value for name, value in shown.items() if value},
        "data": {name: value for name, value in data.items() if value},
        "android": android,
    }


def _error(found: Mapping[str, Any]) -> tuple[str, set[str]]:
    """The code of an error, and the fields that it blames."""
    error = found.get("error")
    if not isinstance(error, dict):
        return "", set()
    code, fields = str(error.get("status", "")), set()
    for detail in error.get("details") or ():
        code = detail.get("errorCode", code)
        fields |= {violation.get("field") for violation in detail.get("fieldViolations", ())}
    return code, fields


def _parsed(raw: str) -> Mapping[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
