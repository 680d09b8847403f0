"""What the contract asks of providers whose service is a simulated one with an HTTP interface."""

from __future__ import annotations

import socket
from abc import abstractmethod
from collections.abc import Sequence

import pytest

from envoi.testing import WebProviderContract
from envoi.types import Outgoing, Provider
from envoi_simulators.web_service import WebService


class WebAccounts(WebProviderContract):
    """A class of tests brings the fixture `service`."""

    @abstractmethod
    def account(self, url: str) -> Provider:
        """An account of the service at an address."""

    @abstractmethod
    def message(self, n: int) -> Outgoing:
        """A message of its own for each number."""

    @pytest.fixture
    def provider(self, service: WebService) -> Provider:
        return self.account(service.url)

    @pytest.fixture
    def refusing(
        self, service: WebService, provider: Provider, messages: Sequence[Outgoing]
    ) -> Provider:
        service.faults.refused = [each.address for each in messages]
        return provider

    @pytest.fixture
    def busy(
        self, service: WebService, provider: Provider, messages: Sequence[Outgoing]
    ) -> Provider:
        service.faults.busy = [each.address for each in messages]
        return provider

    @pytest.fixture
    def vanishing(self, service: WebService, provider: Provider) -> Provider:
        service.faults.vanish_share = 1
        return provider

    @pytest.fixture
    def unreachable(self) -> Provider:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            return self.account(f"http://127.0.0.1:{taken.getsockname()[1]}")

    @pytest.fixture
    def messages(self) -> Sequence[Outgoing]:
        return [self.message(n) for n in range(3)]
