"""Devino's social networks keep the contract, and name the approved template."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import pytest

from envoi.testing import ProviderContract
from envoi.types import Outgoing, Provider
from envoi_provider_devino import register_providers
from envoi_simulators.devino import Devino
from web_accounts import WebAccounts

[SOCIAL] = [spec for spec in register_providers() if spec.name == "devino_social"]
PHONES = [f"+4915100000{n:02}" for n in range(3)]


def account(url: str) -> Provider:
    given = {"url": url, "api_key": "k", "sender": "Shop", "timeout": 5}
    return SOCIAL.factory(SOCIAL.settings.model_validate(given))


def message(n: int = 0, template: str = "") -> Outgoing:
    payload = json.dumps({"text": "Привет", "template": template}).encode()
    return Outgoing(key=f"k{n}", address=PHONES[n], sender="", payload=payload)


class TestDevinoSocial(WebAccounts, ProviderContract):
    """Devino's social networks."""

    @pytest.fixture
    def service(self) -> Iterator[Devino]:
        with Devino(key="k") as made:
            yield made

    def account(self, url: str) -> Provider:
        return account(url)

    def message(self, n: int) -> Outgoing:
        return message(n)

    def test_what_arrives(self, provider: Provider, service: Devino) -> None:
        with closing(provider.connect()) as connection:
            connection.send(message(0))
            connection.send(message(1, "points-7"))
        first, second = service.taken
        assert (first.channel, first.text, first.sender) == ("social", "Привет", "Shop")
        assert "template" not in first.fields
        assert second.fields["template"] == "points-7"
