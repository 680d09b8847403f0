"""Azure Notification Hubs keep the contract of providers, against a service over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from envoi.testing import Answers, FakeService, WebProviderContract
from envoi.types import Outgoing, Provider
from envoi_simulators.azure import AzureService
from envoi_simulators.http2 import Reply
from factories.push import azure_provider, message_to, reply_of

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

    @contextmanager
    def answering_account(self, answers: Answers) -> Iterator[Provider]:
        """The service lets everybody in and answers messages as it is told."""
        with AzureService() as service:
            if answers.tls:
                with FakeService(tls=answers.tls) as secured:
                    yield azure_provider(service, url=secured.url)
            else:
                service.scripted.every = reply_of(answers)
                yield azure_provider(service)

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
