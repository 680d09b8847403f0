"""Hands messages to RuStore, many at once, and reads its answers by the table of its errors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.http2 import Http2Client
from envoi.outgoing import Answer, Request, Result, judged
from envoi.types import Connection, Outgoing, SendResult, SendStatus
from envoi_provider_rustore.settings import RuStoreSettings

QUOTA_SECONDS = 60.0
"""How long to wait after too many requests where RuStore does not say it."""

_NOBODY = "envoi-connection-test"
_MOST_RAW = 500


class RuStoreProvider:
    """A push project at RuStore."""

    def __init__(self, settings: RuStoreSettings) -> None:
        self._url = settings.url
        self._path = f"/v1/projects/{settings.project_id}/messages:send"
        self._headers = {
            "authorization": f"Bearer {settings.service_token.get_secret_value()}",
            "content-type": "application/json",
        }
        self._rests_until = 0.0
        self._is_right_project = False
        """Shown by a message that was taken: only then what is not found is a token."""

    def connect(self) -> Connection:
        """Connect."""
        client = Http2Client(self._url)
        client.connect()
        return _RuStoreConnection(self, client)

    def test(self) -> str:
        """Have a message to nobody checked: that its token is none shows that all else is well."""
        client = Http2Client(self._url)
        message = {"token": _NOBODY, "notification": {"title": "Envoi", "body": "Envoi"}}
        try:
            [answer] = self.ask(client, [{"validate_only": True, "message": message}])
        finally:
            client.close()
        [result] = judged([answer], self.judge)
        if result.status not in (SendStatus.ACCEPTED, SendStatus.REFUSED):
            raise TemporaryProviderError("RuStore does not answer as it should.", raw=result.raw)
        return f"The service token lets us in. RuStore said: {result.raw}"

    def ask(self, client: Http2Client, bodies: Sequence[Mapping[str, Any]]) -> list[Result]:
        """Send requests; while RuStore asked us to wait, raise instead."""
        if (left := self._rests_until - monotonic()) > 0:
            raise TemporaryProviderError("RuStore asked us to wait.", retry_after=left)
        written = [json.dumps(body, ensure_ascii=False, separators=(",", ":")) for body in bodies]
        return client.exchange(
            [Request(path=self._path, headers=self._headers, body=w.encode()) for w in written]
        )

    def judge(self, answer: Answer) -> SendResult:
        """Say what an answer means for its message; raise where it is about the account."""
        raw = answer.body.decode("utf-8", "replace")[:_MOST_RAW]
        code = _code(answer.body)
        if answer.status in (429, 503):
            wait = answer.retry_after
            if wait is None and answer.status == 429:
                wait = QUOTA_SECONDS
            self._rests_until = max(self._rests_until, monotonic() + (wait or 0))
            words = "RuStore takes no more messages at the moment."
            raise TemporaryProviderError(words, raw=raw, retry_after=wait)
        if answer.status in (401, 403) or (answer.status == 404 and code != "NOT_FOUND"):
            words = "RuStore does not let this project in. Check project ID and service token."
            raise PermanentProviderError(words, raw=raw)
        if answer.status == 200 and code in ("", "OK"):
            self._is_right_project = True
            return SendResult(status=SendStatus.ACCEPTED, code=200, raw=raw)
        if answer.status >= 500 or not code:
            return SendResult(status=SendStatus.REFUSED_NOW, code=answer.status, raw=raw)
        is_gone = answer.status == 404 and self._is_right_project
        return SendResult(
            status=SendStatus.REFUSED, code=answer.status, raw=raw, address_gone=is_gone
        )


class _RuStoreConnection:
    """A connection over which many messages are on their way at once."""

    batch_size = 100

    def __init__(self, provider: RuStoreProvider, client: Http2Client) -> None:
        self._provider, self._client = provider, client

    def send(self, message: Outgoing) -> SendResult:
        """Hand one message over."""
        return self.send_batch([message])[0]

    def send_batch(self, messages: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Hand messages over; raise only when RuStore has taken or refused none of them."""
        bodies = [{"message": rustore_message(message)} for message in messages]
        return judged(self._provider.ask(self._client, bodies), self._provider.judge)

    def close(self) -> None:
        """Hang up."""
        self._client.close()


def rustore_message(outgoing: Outgoing) -> Mapping[str, Any]:
    """Turn a push message into RuStore's."""
    fields = json.loads(outgoing.payload)
    shown = {"title": fields["title"], "body": fields["text"], "image": fields["image"]}
    data = {**fields["data"], "link": fields["link"], "envoi_message": outgoing.key}
    message: dict[str, Any] = {
        "token": outgoing.address,
        "notification": {name: value for name, value in shown.items() if value},
        "data": {name: value for name, value in data.items() if value},
    }
    if outgoing.lifetime_seconds:
        message["android"] = {"ttl": f"{outgoing.lifetime_seconds}s"}
    return message


def _code(body: bytes) -> str | None:
    """The word for an error; empty where there is none, and None for what is no answer."""
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    error = found.get("error", found)
    return str(error.get("status", "")) if isinstance(error, dict) else None
