"""How accounts show who they are: tokens of access, signed tokens, and the keys that sign."""

from __future__ import annotations

import base64
import json
import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from time import monotonic
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr

from envoi.errors import ProviderError, TemporaryProviderError
from envoi.outgoing import Answer, Client, Request, Result, Unanswered, WebAccount, WebConnection
from envoi.outgoing.account import TEST_SECONDS
from envoi.outgoing.exchange import words_of

EARLY = 300.0
"""A new one is asked for so many seconds before the old one ends."""

LongSecret = Annotated[
    SecretStr, Field(max_length=10_000, json_schema_extra={"sent_to": "url", "lines": 6})
]
"""A key that is pasted from a file."""


def readable(read: Callable[[str], object], sentence: str) -> AfterValidator:
    """Make a check of a secret: what cannot be read is refused with a sentence, and not shown."""
    from cryptography.exceptions import UnsupportedAlgorithm

    def check(value: SecretStr) -> SecretStr:
        try:
            read(value.get_secret_value())
        except (ValueError, TypeError, LookupError, UnsupportedAlgorithm):
            raise ValueError(sentence) from None
        return value

    return AfterValidator(check)


def signed_token(
    head: Mapping[str, Any], claims: Mapping[str, Any], sign: Callable[[bytes], bytes]
) -> str:
    """Write a JSON Web Token (RFC 7519)."""
    signed = b".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
    return (signed + b"." + _encoded(sign(signed))).decode()


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class AccessToken:
    """The token of one account: asked for once, used by all threads.

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


class TokenAccount(WebAccount):
    """An account whose requests show a token of access (OAuth 2.0)."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._access = AccessToken(self._ask)

    @abstractmethod
    def token_request(self) -> tuple[str, Request]:
        """Say where tokens are given (`https://host`), and write the request for one."""

    def is_old_token(self, answer: Answer) -> bool:
        """Whether an answer says that the token is good no more."""
        return answer.status == 401

    def connect(self) -> WebConnection:
        """Get a token of access and connect."""
        self._access.token()
        return super().connect()

    def exchange(self, client: Client, requests: Sequence[Request]) -> list[Result]:
        """Send requests; what an old token kept out goes once more with a new one."""
        token = self._access.token()
        answers = super().exchange(client, [_showing(token, each) for each in requests])
        again = [n for n, a in enumerate(answers) if isinstance(a, Answer) and self.is_old_token(a)]
        if not again:
            return answers
        self._access.forget(token)
        second: Sequence[Result] = [Unanswered.NOT_TAKEN] * len(again)
        # An error would say that nothing has left, and the others of the batch have.
        with suppress(ProviderError):
            token = self._access.token()
            second = super().exchange(client, [_showing(token, requests[n]) for n in again])
        for place, answer in zip(again, second, strict=True):
            answers[place] = answer
        return answers

    def _ask(self) -> tuple[str, float]:
        url, request = self.token_request()
        with closing(self.client(url, TEST_SECONDS)) as client:
            [answer] = client.exchange([request])
        words = f"{self.name} gives no token of access at the moment. Try again later."
        if not isinstance(answer, Answer):
            raise TemporaryProviderError(words, raw=words_of(answer))
        if answer.status >= 500 or answer.status == 429:
            raise TemporaryProviderError(words, raw=answer.raw, retry_after=answer.retry_after)
        try:
            return str(answer.fields["access_token"]), float(answer.fields["expires_in"])
        except (ValueError, LookupError, TypeError, OverflowError):
            raise self.refusal(answer) from None


def _showing(token: str, request: Request) -> Request:
    return replace(request, headers={**request.headers, "authorization": f"Bearer {token}"})
