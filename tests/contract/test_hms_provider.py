"""Huawei Push Kit keeps the contract of providers, against a service over real HTTP."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack

import pytest

from envoi.testing import FakeService, WebProviderContract
from envoi.testing.web_provider import Answering
from envoi.types import Outgoing, Provider
from envoi_simulators.hms import HmsService, hms_error
from envoi_simulators.http2 import Reply
from factories.push import hms_provider, push_message

Account = Callable[[Reply | None], Provider]


class TestHms(WebProviderContract):
    """Huawei Push Kit."""

    @pytest.fixture
    def push_account(self) -> Iterator[Account]:
        """Makes an account of a service that answers every message like this."""
        with HmsService() as service:

            def made(every: Reply | None) -> Provider:
                service.scripted.every = every
                return hms_provider(service)

            yield made

    @pytest.fixture
    def answering(self) -> Iterator[Answering]:
        """The service lets everybody in and answers messages as it is told."""
        with ExitStack() as stack:

            def made(
                status: int,
                body: bytes = b"",
                headers: Mapping[str, str] | None = None,
                tls: ssl.SSLContext | None = None,
            ) -> Provider:
                service = stack.enter_context(HmsService())
                if tls:
                    return hms_provider(service, url=stack.enter_context(FakeService(tls=tls)).url)
                named = tuple((headers or {}).items())
                service.scripted.every = Reply(status=status, body=body, headers=named)
                return hms_provider(service)

            yield made

    @pytest.fixture
    def provider(self, push_account: Account) -> Provider:
        return push_account(None)

    @pytest.fixture
    def refusing(self, push_account: Account) -> Provider:
        return push_account(hms_error("80100003", "message structure error"))

    @pytest.fixture
    def busy(self, push_account: Account) -> Provider:
        return push_account(hms_error("81000001", "system error", status=500))

    @pytest.fixture
    def vanishing(self, push_account: Account) -> Provider:
        return push_account(Reply(cut=True))

    @pytest.fixture
    def unreachable(self) -> Provider:
        with HmsService() as service:
            return hms_provider(service)

    @pytest.fixture
    def messages(self) -> Sequence[Outgoing]:
        return [push_message(number) for number in range(1, 4)]
