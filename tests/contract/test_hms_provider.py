"""Huawei Push Kit keeps the contract of providers, against a service over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from envoi.testing import Answers, FakeService, WebProviderContract
from envoi.types import Outgoing, Provider
from envoi_simulators.hms import HmsService, hms_error
from envoi_simulators.http2 import Reply
from factories.push import hms_provider, push_message, reply_of

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

    @contextmanager
    def answering_account(self, answers: Answers) -> Iterator[Provider]:
        """The service lets everybody in and answers messages as it is told."""
        with HmsService() as service:
            if answers.tls:
                with FakeService(tls=answers.tls) as secured:
                    yield hms_provider(service, url=secured.url)
            else:
                service.scripted.every = reply_of(answers)
                yield hms_provider(service)

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
