"""Hands messages to APNs, many at once, and reads its answers by the table of its errors."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.http2 import Http2Client
from envoi.outgoing import Answer, Request, Result, judged
from envoi.types import Connection, Outgoing, SendResult, SendStatus
from envoi_provider_apns.settings import ApnsSettings, key_of

TOKEN_SECONDS = 2_400
"""A token is good for an hour, and a new one before 20 minutes is refused. Its moment is a whole
multiple and its signature always the same, so all processes have one token without talking."""

_NOBODY = "0" * 64
_ACCOUNT = {
    *("BadCertificate", "BadCertificateEnvironment", "BadTopic", "Forbidden", "MissingTopic"),
    *("InvalidProviderToken", "MissingProviderToken", "TopicDisallowed", "BadPath"),
    *("ExpiredProviderToken", "UnrelatedKeyIdInToken", "BadEnvironmentKeyIdInToken"),
}
"""What is wrong with the account, not with a message."""
_BUSY = {"ServiceUnavailable", "Shutdown", "TooManyProviderTokenUpdates"}


class ApnsProvider:
    """An app at Apple."""

    def __init__(self, settings: ApnsSettings) -> None:
        self._settings = settings
        self._key = key_of(settings.key)
        self._url = settings.url or settings.environment.url
        self._token_at = lru_cache(2)(self._signed)
        self._rests_until = 0.0
        self._is_right_environment = False
        """Shown by a message that was taken: only then a token may be called unknown."""

    def connect(self) -> Connection:
        """Connect."""
        client = Http2Client(self._url)
        client.connect()
        return _ApnsConnection(self, client)

    def test(self) -> str:
        """Send to nobody: that the device is unknown shows that all else is well."""
        client = Http2Client(self._url)
        message = Outgoing(key="test", address=_NOBODY, sender="", payload=b'{"text":"Envoi"}')
        try:
            [answer] = self.ask(client, [message])
        finally:
            client.close()
        [result] = judged([answer], self.judge)
        if result.status is not SendStatus.REFUSED or "BadDeviceToken" not in result.raw:
            raise TemporaryProviderError("APNs does not answer as it should.", raw=result.raw)
        return f"The key lets us in. APNs said: {result.raw}"

    def ask(self, client: Http2Client, messages: Sequence[Outgoing]) -> list[Result]:
        """Send messages; while APNs asked us to wait, raise instead."""
        if (left := self._rests_until - time.monotonic()) > 0:
            raise TemporaryProviderError("APNs asked us to wait.", retry_after=left)
        return client.exchange([self._request(message) for message in messages])

    def judge(self, answer: Answer) -> SendResult:
        """Say what an answer means for its message; raise where it is about the account."""
        if answer.status == 200:
            self._is_right_environment = True
            name = answer.headers.get("apns-id", "")
            return SendResult(
                status=SendStatus.ACCEPTED, code=200, provider_id=name, raw=name or "200"
            )
        raw = answer.body.decode("utf-8", "replace")[:500]
        found = _parsed(raw)
        reason = str(found.get("reason", ""))
        if reason in _BUSY or answer.status == 503:
            wait = answer.retry_after
            self._rests_until = max(self._rests_until, time.monotonic() + (wait or 0))
            words = "APNs takes no more messages at the moment."
            raise TemporaryProviderError(words, raw=raw, retry_after=wait)
        if reason in _ACCOUNT:
            words = f"APNs refuses the account: {reason}. Check key, team and bundle ID."
            raise PermanentProviderError(words, raw=raw)
        if answer.status >= 500 or answer.status == 429 or not reason:
            return SendResult(status=SendStatus.REFUSED_NOW, code=answer.status, raw=raw)
        is_bad = reason == "BadDeviceToken" and self._is_right_environment
        return SendResult(
            status=SendStatus.REFUSED,
            code=answer.status,
            raw=raw,
            address_gone=is_bad or reason == "Unregistered",
            gone_since=_moment(found.get("timestamp")) if reason == "Unregistered" else None,
        )

    def _request(self, message: Outgoing) -> Request:
        slot = int(time.time()) // TOKEN_SECONDS * TOKEN_SECONDS
        headers = {
            "authorization": f"bearer {self._token_at(slot)}",
            "apns-topic": self._settings.topic,
            "apns-push-type": "alert",
            "apns-priority": "10",
            "apns-id": str(uuid5(NAMESPACE_URL, f"{message.key}/{message.address}")),
            "apns-collapse-id": message.key[:64],
        }
        if message.lifetime_seconds:
            headers["apns-expiration"] = str(int(time.time()) + message.lifetime_seconds)
        path = f"/3/device/{quote(message.address, safe='')}"
        return Request(path=path, headers=headers, body=apns_payload(message))

    def _signed(self, issued_at: int) -> str:
        head = {"alg": "ES256", "kid": self._settings.key_id}
        claims = {"iss": self._settings.team_id, "iat": issued_at}
        signed = b".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
        how = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        r, s = decode_dss_signature(self._key.sign(signed, how))
        signature = r.to_bytes(32) + s.to_bytes(32)
        return (signed + b"." + _encoded(signature)).decode()


class _ApnsConnection:
    """A connection over which many messages are on their way at once."""

    batch_size = 100

    def __init__(self, provider: ApnsProvider, client: Http2Client) -> None:
        self._provider, self._client = provider, client

    def send(self, message: Outgoing) -> SendResult:
        """Hand one message over."""
        return self.send_batch([message])[0]

    def send_batch(self, messages: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Hand messages over; raise only when APNs has taken or refused none of them."""
        return judged(self._provider.ask(self._client, messages), self._provider.judge)

    def close(self) -> None:
        """Hang up."""
        self._client.close()


def apns_payload(outgoing: Outgoing) -> bytes:
    """Turn a push message into Apple's; a picture is put in by the app's own extension."""
    fields = json.loads(outgoing.payload)
    shown = {"title": fields.get("title"), "body": fields["text"]}
    aps: dict[str, Any] = {"alert": {n: v for n, v in shown.items() if v}, "sound": "default"}
    if fields.get("image"):
        aps["mutable-content"] = 1
    more = {"link": fields.get("link"), "image": fields.get("image")}
    found = {
        **fields.get("data", {}),
        **{name: value for name, value in more.items() if value},
        "envoi_message": outgoing.key,
        "aps": aps,
    }
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()


def _moment(milliseconds: object) -> datetime | None:
    if not isinstance(milliseconds, int | float):
        return None
    return datetime.fromtimestamp(milliseconds / 1_000, UTC)


def _parsed(raw: str) -> Mapping[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
