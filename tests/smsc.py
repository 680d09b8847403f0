"""Accounts and messages for tests that send to a simulated message centre."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from envoi.types import Outgoing
from envoi_provider_smpp.provider import SmppProvider
from envoi_provider_smpp.settings import SmppSettings
from envoi_simulators.smsc import Smsc


def smpp_settings(port: int, **values: Any) -> SmppSettings:
    """An account of a centre on this machine."""
    account = {"host": "127.0.0.1", "port": port, "system_id": "envoi", "password": "secret"}
    return SmppSettings.model_validate(account | values)


def smpp_account(port: int, **values: Any) -> SmppProvider:
    """The provider of such an account."""
    return SmppProvider(smpp_settings(port, **values))


def texts(
    count: int, text: str = "Your points expire on Friday.", first: int = 0
) -> list[Outgoing]:
    """Messages to so many phones."""
    return [
        Outgoing(
            key=f"k{number}",
            address=f"+7916{number:07}",
            sender="Fieldmarket",
            payload=text.encode(),
        )
        for number in range(first, first + count)
    ]


def arrivals(smsc: Smsc) -> Counter[str]:
    """How many messages, or parts of them, each phone was sent."""
    return Counter(taken.address for taken in smsc.taken)


def addresses(messages: Iterable[Outgoing]) -> set[str]:
    """Where messages go."""
    return {message.address for message in messages}
