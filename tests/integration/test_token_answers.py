"""Services that give tokens of access with nonsense: the account is refused, and nothing else."""

from __future__ import annotations

import pytest

from envoi.access import TokenAccount
from envoi.errors import PermanentProviderError
from envoi.outgoing import Answer, Request
from envoi.types import Outgoing, SendResult
from web_sink import Reply, WebSink


class Account(TokenAccount):
    """An account that never gets beyond its token."""

    name, advice = "The service", "Check the key."

    def token_request(self) -> tuple[str, Request]:
        return self._url, Request(path="/token")

    def question(self) -> Request:
        raise NotImplementedError

    def written(self, message: Outgoing) -> Request:
        raise NotImplementedError

    def meaning(self, answer: Answer) -> SendResult:
        raise NotImplementedError


@pytest.mark.parametrize("seconds", ["1" * 400, "null", "[]", '"soon"'])
def test_a_token_of_no_known_life_is_refused(seconds: str) -> None:
    body = f'{{"access_token": "t", "expires_in": {seconds}}}'.encode()
    with WebSink(lambda _: Reply(body=body)) as sink, pytest.raises(PermanentProviderError):
        Account(sink.url).connect()
