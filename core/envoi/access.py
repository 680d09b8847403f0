"""Tokens of access that a service gives for a secret: asked for once, used by all threads."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from time import monotonic

from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.outgoing import Answer, Result

EARLY = 300.0
"""A new one is asked for so many seconds before the old one ends."""

_MOST_RAW = 500


class AccessToken:
    """The token of one account.

    Args:
        ask: Asks the service for a token and returns it with the seconds that it is good for;
            raises `ProviderError` where the service gives none.
    """

    def __init__(self, ask: Callable[[], tuple[str, float]]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0

    def token(self) -> str:
        """Return a token that is good for a while; raise what `ask` raises."""
        with self._lock:
            if monotonic() >= self._until:
                self._token, seconds = self._ask()
                self._until = monotonic() + max(0.0, seconds - EARLY)
            return self._token

    def forget(self, token: str) -> None:
        """Ask for another one: the service does not take this one any more."""
        with self._lock:
            if token == self._token:
                self._until = 0.0


def granted(answer: Result, *, busy: str, refused: str) -> tuple[str, float]:
    """Read the answer of an OAuth 2.0 token endpoint (RFC 6749, section 5).

    Args:
        answer: What came back.
        busy: The sentence for a service that gives no token at the moment.
        refused: The sentence for one that does not take the secret.
    """
    if not isinstance(answer, Answer):
        raise TemporaryProviderError(busy)
    raw = answer.body.decode("utf-8", "replace")[:_MOST_RAW]
    if answer.status >= 500 or answer.status == 429:
        raise TemporaryProviderError(busy, raw=raw, retry_after=answer.retry_after)
    try:
        found = json.loads(answer.body)
        return str(found["access_token"]), float(found["expires_in"])
    except (ValueError, KeyError, TypeError):
        raise PermanentProviderError(refused, raw=raw) from None
