"""Hands messages to Huawei, many at once, and reads its answers by the table of its errors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any

from envoi.access import AccessToken
from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.http1 import Http1Client
from envoi.outgoing import Answer, Request, Result, judged
from envoi.types import Connection, Outgoing, SendResult, SendStatus
from envoi_provider_hms.access import ask_for_token
from envoi_provider_hms.settings import HmsSettings

LONGEST_LIFE = 1_296_000

_TAKEN, _PARTLY, _ALL_ILLEGAL = "80000000", "80100000", "80300007"
_OLD_TOKEN = {"80200001", "80200003"}
_STRANGER = {*_OLD_TOKEN, "80300002"}
_THEIR_FAULT = {"80600003", "81000001", ""}
_NOBODY = "envoi-connection-test"
_MOST_RAW = 500


class HmsProvider:
    """An app at Huawei."""

    def __init__(self, settings: HmsSettings) -> None:
        self._settings = settings
        self._path = f"/v1/{settings.client_id}/messages:send"
        self._access = AccessToken(partial(ask_for_token, settings))
        self._rests_until = 0.0
        self._is_right_app = False
        """Shown by a message that was taken: only then a token may be called unknown, as Huawei
        says the same of every token where the gateway belongs to another app."""

    def connect(self) -> Connection:
        """Get a token of access, and see whether the service is there."""
        client = Http1Client(self._settings.push_url)
        try:
            self._access.token()
            client.connect()
        except BaseException:
            client.close()
            raise
        return _HmsConnection(self, client)

    def test(self) -> str:
        """Have a message to nobody checked: that its token is none shows that all else is well."""
        message = Outgoing(key="test", address=_NOBODY, sender="", payload=b'{"text":"Envoi"}')
        connection = _HmsConnection(self, Http1Client(self._settings.push_url))
        try:
            [answer] = connection.exchange([{**self.written(message), "validate_only": True}])
        finally:
            connection.close()
        [result] = judged([answer], self.judge)
        is_known = result.status is SendStatus.ACCEPTED or _ALL_ILLEGAL in result.raw
        if not is_known and _PARTLY not in result.raw:
            raise TemporaryProviderError("Huawei does not answer as it should.", raw=result.raw)
        return f"The app lets us in. Huawei said: {result.raw}"

    def ask(self, client: Http1Client, bodies: Sequence[Mapping[str, Any]]) -> list[Result]:
        """Send requests; what an old token of access kept out goes once more with a new one."""
        if (left := self._rests_until - monotonic()) > 0:
            raise TemporaryProviderError("Huawei asked us to wait.", retry_after=left)
        token = self._access.token()
        answers = client.exchange([self._request(token, body) for body in bodies])
        again = [n for n, answer in enumerate(answers) if _is_old_token(answer)]
        if again:
            self._access.forget(token)
            token = self._access.token()
            second = client.exchange([self._request(token, bodies[n]) for n in again])
            for place, answer in zip(again, second, strict=True):
                answers[place] = answer
        return answers

    def judge(self, answer: Answer) -> SendResult:
        """Say what an answer means for its message; raise where it is about the account."""
        raw, found = _read(answer)
        code = str(found.get("code", ""))
        if answer.status == 503:
            wait = answer.retry_after
            self._rests_until = max(self._rests_until, monotonic() + (wait or 0))
            words = "Huawei takes no more messages at the moment."
            raise TemporaryProviderError(words, raw=raw, retry_after=wait)
        if code in _STRANGER or answer.status in (401, 404):
            words = "Huawei does not let this app in. Check client ID, secret and its rights."
            raise PermanentProviderError(words, raw=raw)
        if answer.status >= 500 or code in _THEIR_FAULT:
            return SendResult(status=SendStatus.REFUSED_NOW, code=answer.status, raw=raw)
        is_illegal = code == _ALL_ILLEGAL or (code == _PARTLY and _illegal(found))
        if not is_illegal and code in (_TAKEN, _PARTLY):
            self._is_right_app = True
            name = str(found.get("requestId", ""))
            return SendResult(status=SendStatus.ACCEPTED, code=200, provider_id=name, raw=raw)
        return SendResult(
            status=SendStatus.REFUSED,
            code=int(code) if code.isdecimal() and len(code) < 10 else answer.status,
            raw=raw,
            address_gone=bool(is_illegal) and self._is_right_app,
        )

    def written(self, outgoing: Outgoing) -> Mapping[str, Any]:
        """Turn a push message into Huawei's; the same key takes the place of an earlier one."""
        fields = json.loads(outgoing.payload)
        more = {"link": fields.get("link"), "envoi_message": outgoing.key}
        data = {**fields.get("data", {}), **{name: v for name, v in more.items() if v}}
        shown = {
            "title": fields.get("title") or self._settings.title,
            "body": fields["text"],
        }
        if fields.get("image"):
            shown["image"] = fields["image"]
        opens_app = {"tag": outgoing.key, "click_action": {"type": 3}}
        android: dict[str, Any] = {"notification": opens_app}
        if outgoing.lifetime_seconds:
            android["ttl"] = f"{min(outgoing.lifetime_seconds, LONGEST_LIFE)}s"
        message = {
            "notification": shown,
            "data": json.dumps(data, ensure_ascii=False),
            "android": android,
            "token": [outgoing.address],
        }
        return {"message": message}

    def _request(self, token: str, body: Mapping[str, Any]) -> Request:
        headers = {
            "authorization": f"Bearer {token}",
            "content-type": "application/json; charset=UTF-8",
        }
        written = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        return Request(path=self._path, headers=headers, body=written.encode())


class _HmsConnection:
    """Kept connections over which many messages are on their way at once."""

    batch_size = 100

    def __init__(self, provider: HmsProvider, client: Http1Client) -> None:
        self._provider, self._client = provider, client

    def send(self, message: Outgoing) -> SendResult:
        """Hand one message over."""
        return self.send_batch([message])[0]

    def send_batch(self, messages: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Hand messages over; raise only when Huawei has taken or refused none of them."""
        answers = self.exchange([self._provider.written(each) for each in messages])
        return judged(answers, self._provider.judge)

    def exchange(self, bodies: Sequence[Mapping[str, Any]]) -> list[Result]:
        """Send requests and return their answers."""
        return self._provider.ask(self._client, bodies)

    def close(self) -> None:
        """Hang up."""
        self._client.close()


def _is_old_token(answer: Result) -> bool:
    return isinstance(answer, Answer) and _read(answer)[1].get("code") in _OLD_TOKEN


def _illegal(found: Mapping[str, Any]) -> Any:
    """The tokens that an answer lists as illegal: its message is JSON itself."""
    try:
        return json.loads(found["msg"])["illegal_tokens"]
    except (KeyError, TypeError, ValueError):
        return ()


def _read(answer: Answer) -> tuple[str, Mapping[str, Any]]:
    raw = answer.body.decode("utf-8", "replace")
    try:
        found = json.loads(raw)
    except ValueError:
        found = {}
    return raw[:_MOST_RAW], found if isinstance(found, dict) else {}
