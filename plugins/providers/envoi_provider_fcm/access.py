"""Tokens of access: a signed assertion is exchanged for one, which all threads use."""

from __future__ import annotations

import base64
import json
import threading
import time
from urllib.parse import urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.http2 import Answer, Http2Client, Request, Result
from envoi_provider_fcm.settings import KeyFile

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME = 3_600
EARLY = 300.0
"""A new one is asked for so many seconds before the old one ends."""


class Access:
    """The token of one service account; asks for a new one when it is needed."""

    def __init__(self, key_file: KeyFile) -> None:
        self._file = key_file
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0

    def token(self) -> str:
        """Return a token that is good for a while.

        Raises:
            ProviderError: The service gives none; the message says why.
        """
        with self._lock:
            if time.time() >= self._until:
                self._token, seconds = self._ask()
                self._until = time.time() + max(0.0, seconds - EARLY)
            return self._token

    def forget(self, token: str) -> None:
        """Ask for another one: the service does not take this one any more."""
        with self._lock:
            if token == self._token:
                self._until = 0.0

    def _ask(self) -> tuple[str, float]:
        parts = urlsplit(self._file.token_uri)
        body = urlencode({"grant_type": GRANT, "assertion": self._assertion()}).encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        client = Http2Client(f"{parts.scheme}://{parts.netloc}")
        try:
            [answer] = client.exchange([Request(path=parts.path, headers=headers, body=body)])
        finally:
            client.close()
        return _granted(answer)

    def _assertion(self) -> str:
        now = int(time.time())
        head = {"alg": "RS256", "typ": "JWT", "kid": self._file.private_key_id}
        claims = {
            "iss": self._file.client_email,
            "scope": SCOPE,
            "aud": self._file.token_uri,
            "iat": now,
            "exp": now + LIFETIME,
        }
        signed = b".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
        signature = self._file.key().sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return (signed + b"." + _encoded(signature)).decode()


def _granted(answer: Result) -> tuple[str, float]:
    raw = answer.body.decode("utf-8", "replace") if isinstance(answer, Answer) else answer.value
    if not isinstance(answer, Answer) or answer.status >= 500 or answer.status == 429:
        wait = answer.retry_after() if isinstance(answer, Answer) else None
        words = "Google gives no token of access at the moment."
        raise TemporaryProviderError(words, raw=raw[:500], retry_after=wait)
    try:
        found = json.loads(raw)
        return str(found["access_token"]), float(found["expires_in"])
    except (ValueError, KeyError, TypeError):
        words = "Google does not take the key file. Make a new one in Firebase and paste it."
        raise PermanentProviderError(words, raw=raw[:500]) from None


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
