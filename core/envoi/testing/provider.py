"""The contract of providers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from envoi.errors import ProviderError
from envoi.testing.contract import Contract
from envoi.types import Outgoing, Provider, SendStatus


class ProviderContract(Contract):
    """What the core relies on when it sends: answers are results, trouble is `ProviderError`.

    The provider speaks to a service that the test runs itself and that behaves as the
    fixture's name says.
    """

    @pytest.fixture
    def provider(self) -> Provider:
        """An account of a service that takes every message."""
        self.missing("provider")

    @pytest.fixture
    def refusing(self) -> Provider:
        """An account of a service that refuses these messages for good."""
        self.missing("refusing")

    @pytest.fixture
    def busy(self) -> Provider:
        """An account of a service that refuses these messages for now."""
        self.missing("busy")

    @pytest.fixture
    def vanishing(self) -> Provider:
        """An account of a service that breaks off after it has read a message."""
        self.missing("vanishing")

    @pytest.fixture
    def unreachable(self) -> Provider:
        """An account of a service that is not there."""
        self.missing("unreachable")

    @pytest.fixture
    def messages(self) -> Sequence[Outgoing]:
        """At least three messages."""
        self.missing("messages")

    def test_accepts_messages_over_one_connection(
        self, provider: Provider, messages: Sequence[Outgoing]
    ) -> None:
        connection = provider.connect()
        results = [connection.send(message) for message in messages]
        connection.close()
        assert [result.status for result in results] == [SendStatus.ACCEPTED] * len(messages)
        assert all(result.raw for result in results)

    def test_test_returns_the_services_words(self, provider: Provider) -> None:
        assert provider.test().strip()

    def test_close_may_be_repeated(self, provider: Provider) -> None:
        connection = provider.connect()
        connection.close()
        connection.close()

    @pytest.mark.parametrize(
        ("account", "status"),
        [("refusing", SendStatus.REFUSED), ("busy", SendStatus.REFUSED_NOW)],
    )
    def test_refusals_are_results_and_leave_the_connection_usable(
        self,
        request: pytest.FixtureRequest,
        messages: Sequence[Outgoing],
        account: str,
        status: SendStatus,
    ) -> None:
        provider: Provider = request.getfixturevalue(account)
        connection = provider.connect()
        results = [connection.send(message) for message in messages]
        connection.close()
        assert {result.status for result in results} == {status}
        assert all(result.code and result.raw for result in results)

    def test_what_may_have_been_taken_is_unknown(
        self, vanishing: Provider, messages: Sequence[Outgoing]
    ) -> None:
        connection = vanishing.connect()
        results = [connection.send(message) for message in messages]
        connection.close()
        assert {result.status for result in results} == {SendStatus.UNKNOWN}

    def test_unreachable_service_is_a_provider_error(self, unreachable: Provider) -> None:
        with pytest.raises(ProviderError):
            unreachable.connect()
        with pytest.raises(ProviderError):
            unreachable.test()
