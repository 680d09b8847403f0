"""The contract of providers of web services: whatever is answered, nothing breaks or is lost."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509

from envoi.errors import PermanentProviderError, ProviderError
from envoi.outgoing import allow_private
from envoi.testing.certificates import DAY, HERE, NOW, Authority, make_authority
from envoi.testing.provider import ProviderContract
from envoi.testing.service import FakeService
from envoi.types import Outgoing, Provider, SendResult, SendStatus

MOST_RAW = 10_000
STRANGE: Mapping[str, bytes] = {
    "a page": b"<html>Welcome</html>",
    "no text": b"\xff\xfe\x00",
    "nothing": b"null",
    "a number": b"7",
    "a text": b'"OK"',
    "an empty list": b"[]",
    "a list of nothing": b"[null]",
    "an error that is a number": b'{"error": 7, "Code": [], "result": [7], "reason": {}}',
    "too deep": b"[" * 100_000,
    "cut off": b'{"id": "1"',
    "without an end": b'{"id": "1", "more": "' + b"x" * 1_100_000,
}
ERRORS = (400, 401, 403, 404, 405, 409, 429, 500, 502, 503, 504)
CERTIFICATES: Mapping[str, Callable[[Authority], ssl.SSLContext]] = {
    "expired": lambda a: a.context(HERE, begins=NOW - 2 * DAY, ends=NOW - DAY),
    "too early": lambda a: a.context(HERE, begins=NOW + DAY, ends=NOW + 2 * DAY),
    "of another host": lambda a: a.context([x509.DNSName("service.other.test")]),
}


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a service answers every message, and how it shows who it is."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None


Answering = Callable[[Answers], Provider]


class WebProviderContract(ProviderContract):
    """What is asked besides of a provider whose service has an HTTP interface."""

    reads_bodies = True
    """Whether success stands in the body of an answer; else its status alone tells of it."""

    def account(self, url: str) -> Provider:  # noqa: ARG002 (for those who give it)
        """Open an account of the service at an address, `http://host:port`."""
        self.missing("account")

    @contextmanager
    def answering_account(self, answers: Answers) -> Iterator[Provider]:
        """Open an account of a service that answers so, where a plain server does not do."""
        with FakeService(
            answers.status, answers.body, headers=answers.headers, tls=answers.tls
        ) as service:
            yield self.account(service.url)

    @pytest.fixture
    def answering(self) -> Iterator[Answering]:
        """Accounts of services that answer as they are told."""
        with ExitStack() as stack:
            yield lambda answers: stack.enter_context(self.answering_account(answers))

    @pytest.mark.parametrize("said", STRANGE)
    def test_what_is_not_documented_is_no_success(
        self, answering: Answering, messages: Sequence[Outgoing], said: str
    ) -> None:
        provider = answering(Answers(status=200, body=STRANGE[said]))
        result = _sent(provider, messages[0])
        assert result is None or not self.reads_bodies or result.status is not SendStatus.ACCEPTED
        _try(provider)

    @pytest.mark.parametrize("status", ERRORS)
    def test_errors_are_results_or_trouble(
        self, answering: Answering, messages: Sequence[Outgoing], status: int
    ) -> None:
        provider = answering(Answers(status=status, body=b"<html>Something is wrong</html>"))
        result = _sent(provider, messages[0])
        assert result is None or result.status is not SendStatus.ACCEPTED

    @pytest.mark.parametrize("status", [401, 403])
    def test_wrong_credentials_fail_the_test(self, answering: Answering, status: int) -> None:
        with pytest.raises(ProviderError) as caught:
            answering(Answers(status=status, body=b"{}")).test()
        assert str(caught.value)

    def test_redirects_are_not_followed(
        self, answering: Answering, messages: Sequence[Outgoing]
    ) -> None:
        with FakeService() as other:
            provider = answering(Answers(status=302, headers={"location": other.url}))
            result = _sent(provider, messages[0])
            _try(provider)
            assert other.asked == 0
        assert result is None or result.status is not SendStatus.ACCEPTED

    def test_private_networks_stay_closed(
        self, answering: Answering, messages: Sequence[Outgoing]
    ) -> None:
        provider = answering(Answers(status=200))
        allow_private(False)
        try:
            for ask in (provider.test, lambda: _send(provider, messages[0])):
                with pytest.raises(PermanentProviderError):
                    ask()
        finally:
            allow_private(True)

    @pytest.mark.parametrize("kind", CERTIFICATES)
    def test_nothing_leaves_to_a_server_with_a_bad_certificate(
        self,
        answering: Answering,
        messages: Sequence[Outgoing],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        kind: str,
    ) -> None:
        authority = make_authority(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        provider = answering(Answers(status=200, tls=CERTIFICATES[kind](authority)))
        for ask in (provider.test, lambda: _send(provider, messages[0])):
            with pytest.raises(PermanentProviderError, match="certificate"):
                ask()


def _send(provider: Provider, message: Outgoing) -> SendResult:
    with closing(provider.connect()) as connection:
        return connection.send(message)


def _sent(provider: Provider, message: Outgoing) -> SendResult | None:
    """Send a message; None where there was trouble with the account, which promises no harm."""
    with suppress(ProviderError):
        result = _send(provider, message)
        assert 0 < len(result.raw) <= MOST_RAW
        return result
    return None


def _try(provider: Provider) -> None:
    """Test an account: whatever it is answered, it says so in words or as trouble."""
    with suppress(ProviderError):
        assert provider.test().strip()
