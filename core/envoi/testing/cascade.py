"""The contract of providers that go through a cascade by themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import fields, replace
from typing import Any

import pytest

from envoi.testing.contract import Contract
from envoi.types import NextStep, Outgoing, ProviderSpec, SendStatus, WebhookRequest


class CascadeContract(Contract):
    """What the core relies on where `ProviderSpec.takes_over` says yes.

    The account speaks to a service that the test runs itself.
    """

    @pytest.fixture
    def spec(self) -> ProviderSpec:
        """The provider."""
        self.missing("spec")

    @pytest.fixture
    def settings(self) -> Any:
        """Settings of an account of the service that goes on by itself."""
        self.missing("settings")

    @pytest.fixture
    def message(self) -> Outgoing:
        """A message with what may follow it."""
        self.missing("message")

    @pytest.fixture
    def asked(self) -> Callable[[], Sequence[str]]:
        """What the service was asked so far to send, each request as its readable text."""
        self.missing("asked")

    @pytest.fixture
    def delivered(self) -> Callable[[str], WebhookRequest]:
        """Makes the request to the webhook that tells that a channel's message has arrived."""
        self.missing("delivered")

    @pytest.fixture
    def steps(self, message: Outgoing) -> Sequence[NextStep]:
        names = [field.name for field in fields(NextStep)]
        return [NextStep(**{name: getattr(m, name) for name in names}) for m in message.then]

    def test_takes_over_its_steps_and_no_others(
        self, spec: ProviderSpec, settings: Any, steps: Sequence[NextStep]
    ) -> None:
        assert spec.takes_over is not None
        assert spec.takes_over(settings, steps)
        assert not spec.takes_over(settings, [replace(s, channel="telegraph") for s in steps])
        assert not spec.takes_over(settings, [replace(s, success="answered") for s in steps])

    def test_one_request_has_the_messages_of_all_steps(
        self,
        spec: ProviderSpec,
        settings: Any,
        message: Outgoing,
        asked: Callable[[], Sequence[str]],
    ) -> None:
        with closing(spec.factory(settings).connect()) as connection:
            result = connection.send(message)
        assert result.status is SendStatus.ACCEPTED
        [request] = asked()
        for further in message.then:
            assert further.payload.decode() in request

    def test_without_further_messages_nothing_follows(
        self,
        spec: ProviderSpec,
        settings: Any,
        message: Outgoing,
        asked: Callable[[], Sequence[str]],
    ) -> None:
        """Somebody who has left the further channels gets the first message alone."""
        with closing(spec.factory(settings).connect()) as connection:
            assert connection.send(replace(message, then=())).status is SendStatus.ACCEPTED
        [request] = asked()
        for further in message.then:
            assert further.payload.decode() not in request

    def test_reports_name_the_channel_that_it_went_on_to(
        self,
        spec: ProviderSpec,
        settings: Any,
        message: Outgoing,
        delivered: Callable[[str], WebhookRequest],
    ) -> None:
        assert spec.webhook is not None
        for channel in [spec.channel, *(m.channel for m in message.then)]:
            [event] = spec.webhook(settings, delivered(channel))
            assert event.type == "delivered"
            assert event.channel in ({channel, ""} if channel == spec.channel else {channel})
