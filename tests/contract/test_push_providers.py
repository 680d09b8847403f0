"""FCM, APNs and RuStore keep the contract of providers, against services over real HTTP/2."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

import pytest

from envoi.demo.push_keys import PushKeys
from envoi.testing import Answers, WebProviderContract
from envoi.types import Outgoing, Provider
from envoi_simulators.http2 import Reply
from envoi_simulators.push_services import PushServices, apns_error, fcm_error
from factories.push import provider_of, push_message, reply_of

Account = Callable[[Reply | None], Provider]

KEYS = PushKeys.made()

REFUSED = {
    "fcm": fcm_error(400, "INVALID_ARGUMENT", field="message.data"),
    "apns": apns_error(400, "BadCollapseId"),
    "rustore": fcm_error(400, "INVALID_ARGUMENT"),
}
BUSY = {
    "fcm": fcm_error(500, "INTERNAL"),
    "apns": apns_error(500, "InternalServerError"),
    "rustore": fcm_error(500, "INTERNAL"),
}


class _Push(WebProviderContract):
    """What all have in common."""

    service: str

    @pytest.fixture
    def push_account(self) -> Iterator[Account]:
        """Makes an account of a service that answers everything like this."""
        services = PushServices(keys=KEYS)
        services.start()

        def made(every: Reply | None) -> Provider:
            services.faults.every = every
            return provider_of(self.service, services)

        yield made
        services.stop()

    @contextmanager
    def answering_account(self, answers: Answers) -> Iterator[Provider]:
        """The services let everybody in and answer messages as they are told."""
        with PushServices(keys=KEYS, tls=answers.tls) as services:
            services.faults.every = reply_of(answers)
            yield provider_of(self.service, services)

    @pytest.fixture
    def provider(self, push_account: Account) -> Provider:
        return push_account(None)

    @pytest.fixture
    def refusing(self, push_account: Account) -> Provider:
        return push_account(REFUSED[self.service])

    @pytest.fixture
    def busy(self, push_account: Account) -> Provider:
        return push_account(BUSY[self.service])

    @pytest.fixture
    def vanishing(self, push_account: Account) -> Provider:
        return push_account(Reply(cut=True))

    @pytest.fixture
    def unreachable(self) -> Provider:
        services = PushServices(keys=KEYS)
        provider = provider_of(self.service, services)
        services.stop()
        with closing(socket.socket()) as probe:
            assert probe.connect_ex(("127.0.0.1", services.port)) != 0
        return provider

    @pytest.fixture
    def messages(self) -> Sequence[Outgoing]:
        return [push_message(number) for number in range(1, 4)]


class TestFcm(_Push):
    """Firebase Cloud Messaging."""

    service = "fcm"


class TestApns(_Push):
    """Apple Push Notification service."""

    service = "apns"
    reads_bodies = False


class TestRuStore(_Push):
    """RuStore push notifications."""

    service = "rustore"
