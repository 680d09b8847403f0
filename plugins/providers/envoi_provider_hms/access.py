"""Tokens of access: the app's secret is exchanged for one, which all threads use."""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing
from urllib.parse import urlencode

from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.http1 import Http1Client
from envoi.http2 import Answer, Request, Result
from envoi_provider_hms.settings import HmsSettings

EARLY = 300.0
"""A new one is asked for so many seconds before the old one ends."""


class Access:
    """The token of one app; asks for a new one when it is needed."""

    def __init__(self, settings: HmsSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0

    def token(self) -> str:
        """Return a token that is good for a while.

        Raises:
            ProviderError: The service gives none; the message says why.
        """
        with self._lock:
            if time.monotonic() >= self._until:
                self._token, seconds = self._ask()
                self._until = time.monotonic() + max(0.0, seconds - EARLY)
            return self._token

    def forget(self, token: str) -> None:
        """Ask for another one: the service does not take this one any more."""
        with self._lock:
            if token == self._token:
                self._until = 0.0

    def _ask(self) -> tuple[str, float]:
        fields = {
            "grant_type": "client_credentials",
            "client_id": self._settings.client_id,
            "client_secret": self._settings.client_secret.get_secret_value(),
        }
        headers = {"content-type": "application/x-www-form-urlencoded"}
        request = Request(path="/oauth2/v3/token", headers=headers, body=urlencode(fields).encode())
        with closing(Http1Client(self._settings.access_url)) as client:
            [answer] = client.exchange([request])
        return _granted(answer)


def _granted(answer: Result) -> tuple[str, float]:
    if not isinstance(answer, Answer) or answer.status >= 500 or answer.status == 429:
        raw = answer.body.decode("utf-8", "replace")[:500] if isinstance(answer, Answer) else ""
        wait = answer.retry_after() if isinstance(answer, Answer) else None
        words = "Huawei gives no token of access at the moment."
        raise TemporaryProviderError(words, raw=raw, retry_after=wait)
    try:
        found = json.loads(answer.body)
        return str(found["access_token"]), float(found["expires_in"])
    except (ValueError, KeyError, TypeError):
        words = "Huawei does not take the client secret. Compare it with AppGallery Connect."
        raw = answer.body.decode("utf-8", "replace")[:500]
        raise PermanentProviderError(words, raw=raw) from None
