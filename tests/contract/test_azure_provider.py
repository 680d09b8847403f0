"""Azure Notification Hubs keep the contract of providers, against a service over real HTTP."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack

import pytest

from envoi.testing import FakeService, WebProviderContract
from envoi.testing.web_provider import Answering
from envoi.types import Outgoing, Provider
from envoi_simulators.azure import AzureService
from envoi_simulators.http2 import Reply
from factories.push import azure_provider, message_to

Account = Callable[[Reply | None], Provider]


class TestAzure(WebProviderContract):
    """Azure Notification Hubs."""

    reads_bodies = False

    @pytest.fixture
    def push_account(self) -> Iterator[Account]:
        """Makes an account of a service that answers every message like this."""
        with AzureService() as service:

            def made(every: Reply | None) -> Provider:
                service.scripted.every = every
                return azure_provider(service)

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
                service = stack.enter_context(AzureService())
                if tls:
                    return azure_provider(
                        service, url=stack.enter_context(FakeService(tls=tls)).url
                    )
                named = tuple((headers or {}).items())
                service.scripted.every = Reply(status=status, body=body, headers=named)
                return azure_provider(service)

            yield made

    @pytest.fixture
    def provider(self, push_account: Account) -> Provider:
        return push_account(None)

    @pytest.fixture
    def refusing(self, push_account: Account) -> Provider:
        return push_account(Reply(status=400, body=b"malformed"))

    @pytest.fixture
    def busy(self, push_account: Account) -> Provider:
        return push_account(Reply(status=500, body=b"internal"))

    @pytest.fixture
    def vanishing(self, push_account: Account) -> Provider:
        return push_account(Reply(cut=True))

    @pytest.fixture
    def unreachable(self) -> Provider:
        with AzureService() as service:
            return azure_provider(service)

    @pytest.fixture
    def messages(self) -> Sequence[Outgoing]:
        return [message_to("apns", number) for number in range(1, 4)]
