"""Hands messages to a hub, many at once; what becomes of them there it does not answer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Sequence
from urllib.parse import quote_plus, urlsplit

from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.http1 import Http1Client
from envoi.outgoing import Answer, Result, judged
from envoi.types import Connection, Device, Outgoing, SendResult, SendStatus
from envoi_provider_azure.messages import FORMATS, written
from envoi_provider_azure.settings import AzureSettings

ACCESS_SECONDS = 3_600

_NOBODY = Device(id=0, service="apns", token="0" * 64)
_SHOWN = b'{"title":"","text":"Envoi","image":"","link":"","data":{}}'
_OTHERS = "The hub serves devices of FCM and APNs only; this one is of another service."
_MOST_RAW = 500


class AzureProvider:
    """A hub."""

    def __init__(self, settings: AzureSettings) -> None:
        self._access, self._hub = settings.access, settings.hub
        self._url = settings.url or f"https://{self._access['host']}"
        self._path = f"/{settings.hub}/messages/?direct&api-version=2015-04"
        self._rests_until = 0.0

    def connect(self) -> Connection:
        """See whether the service is there."""
        client = Http1Client(self._url)
        try:
            client.connect()
        except BaseException:
            client.close()
            raise
        return _AzureConnection(self, client)

    def test(self) -> str:
        """Hand over a message to nobody: that the hub looks at it shows that the key is right."""
        connection = _AzureConnection(self, Http1Client(self._url))
        token = _NOBODY.token
        try:
            result = connection.send(
                Outgoing(key="test", address=token, sender="", payload=_SHOWN, devices=(_NOBODY,))
            )
        finally:
            connection.close()
        if result.status not in (SendStatus.ACCEPTED, SendStatus.REFUSED):
            raise TemporaryProviderError("Azure does not answer as it should.", raw=result.raw)
        return f"The hub lets us in. Azure said: {result.raw}"

    def ask(self, client: Http1Client, messages: Sequence[Outgoing]) -> list[Result]:
        """Send messages; while Azure asked us to wait, raise instead."""
        if (left := self._rests_until - time.monotonic()) > 0:
            raise TemporaryProviderError("Azure asked us to wait.", retry_after=left)
        access = self._signed()
        services = [message.devices[0].service for message in messages]
        return client.exchange(
            [written(m, s, self._path, access) for m, s in zip(messages, services, strict=True)]
        )

    def judge(self, answer: Answer) -> SendResult:
        """Say what an answer means for its message; raise where it is about the account."""
        status = answer.status
        raw = f"HTTP {status} {answer.body.decode('utf-8', 'replace')[:_MOST_RAW]}".strip()
        if status in (200, 201):
            place = urlsplit(answer.headers.get("location", "")).path.rpartition("/")[2]
            name = place or answer.headers.get("trackingid", "")
            return SendResult(
                status=SendStatus.ACCEPTED, code=status, provider_id=name, raw=f"{raw} {name}"
            )
        if status in (429, 503):
            wait = answer.retry_after
            self._rests_until = max(self._rests_until, time.monotonic() + (wait or 0))
            words = "Azure takes no more messages at the moment."
            raise TemporaryProviderError(words, raw=raw, retry_after=wait)
        if status in (401, 403, 404):
            words = "Azure does not let us in. Check hub, connection string and the hub's quota."
            raise PermanentProviderError(words, raw=raw)
        is_for_now = status >= 500 or status < 400
        outcome = SendStatus.REFUSED_NOW if is_for_now else SendStatus.REFUSED
        return SendResult(status=outcome, code=status, raw=raw)

    def _signed(self) -> str:
        """Sign a right to send to this hub."""
        place = quote_plus(f"https://{self._access['host']}/{self._hub}".lower())
        until = int(time.time()) + ACCESS_SECONDS
        key = self._access["key"].encode()
        signed = hmac.new(key, f"{place}\n{until}".encode(), hashlib.sha256).digest()
        signature = quote_plus(base64.b64encode(signed))
        name = quote_plus(self._access["name"])
        return f"SharedAccessSignature sr={place}&sig={signature}&se={until}&skn={name}"


class _AzureConnection:
    """Kept connections over which many messages are on their way at once."""

    batch_size = 100

    def __init__(self, provider: AzureProvider, client: Http1Client) -> None:
        self._provider, self._client = provider, client

    def send(self, message: Outgoing) -> SendResult:
        """Hand one message over."""
        return self.send_batch([message])[0]

    def send_batch(self, messages: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Hand messages over; raise only when Azure has taken or refused none of them."""
        ours = [message for message in messages if message.devices[0].service in FORMATS]
        answers = judged(self._provider.ask(self._client, ours), self._provider.judge)
        found = iter(answers)
        other = SendResult(status=SendStatus.REFUSED, raw=_OTHERS)
        return [next(found) if m.devices[0].service in FORMATS else other for m in messages]

    def close(self) -> None:
        """Hang up."""
        self._client.close()
