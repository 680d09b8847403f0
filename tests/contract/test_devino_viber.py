"""Devino's Viber keeps the contract, and says what a Viber message is made of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest

from envoi.testing import ProviderContract
from envoi.types import BatchConnection, Outgoing, Provider
from envoi_provider_devino import register_providers
from envoi_simulators.devino import Devino
from web_accounts import WebAccounts

[VIBER] = [spec for spec in register_providers() if spec.name == "devino_viber"]
PHONES = [f"+4915100000{n:02}" for n in range(3)]
WORDS = {"text": "Привет", "image": "", "button": "", "url": "", "category": "promotional"}


def account(url: str) -> Provider:
    return VIBER.factory(VIBER.settings.model_validate({"url": url, "api_key": "k", "timeout": 5}))


def message(n: int = 0, lifetime_seconds: int = 0, **fields: str) -> Outgoing:
    return Outgoing(
        key=f"k{n}",
        address=PHONES[n],
        sender="Shop",
        payload=json.dumps(WORDS | fields).encode(),
        lifetime_seconds=lifetime_seconds,
    )


class TestDevinoViber(WebAccounts, ProviderContract):
    """Devino's Viber."""

    @pytest.fixture
    def service(self) -> Iterator[Devino]:
        with Devino(key="k") as made:
            yield made

    def account(self, url: str) -> Provider:
        return account(url)

    def message(self, n: int) -> Outgoing:
        return message(n)

    @pytest.mark.parametrize(
        ("lifetime", "validity"), [(0, None), (3, 15), (600, 600), (9_999_999, 1_209_600)]
    )
    def test_what_arrives(
        self, provider: Provider, service: Devino, lifetime: int, validity: int | None
    ) -> None:
        whole = {"image": "https://shop.test/a.png", "button": "Look", "url": "https://go.test/1"}
        with closing(provider.connect()) as connection:
            assert isinstance(connection, BatchConnection)
            connection.send_batch([message(0), message(1, lifetime, **whole)])
        first, second = (_own(taken.fields) for taken in service.taken)
        assert first == {"text": "Привет", "priority": 1}
        assert second.pop("validity", None) == validity
        assert second == {
            "text": "Привет",
            "image": "https://shop.test/a.png",
            "caption": "Look",
            "action": "https://go.test/1",
            "priority": 1,
        }


def _own(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What is Viber's alone."""
    return {n: v for n, v in fields.items() if n not in ("from", "to", "options")}
