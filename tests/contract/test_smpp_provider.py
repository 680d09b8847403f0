"""The SMPP provider keeps the contract of providers."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence

import pytest

from envoi.testing import ProviderContract
from envoi.types import Outgoing, Provider
from envoi_provider_smpp.pdu import Status
from envoi_simulators.smsc import Faults, Smsc
from smsc import smpp_account, texts


def _centre(faults: Faults) -> Iterator[Provider]:
    with Smsc() as smsc:
        smsc.faults = faults
        yield smpp_account(smsc.port)


class TestSmppProvider(ProviderContract):
    """SMPP."""

    @pytest.fixture
    def provider(self) -> Iterator[Provider]:
        yield from _centre(Faults())

    @pytest.fixture
    def refusing(self) -> Iterator[Provider]:
        yield from _centre(Faults(status=lambda message: Status.ESME_RINVDSTADR))

    @pytest.fixture
    def busy(self) -> Iterator[Provider]:
        yield from _centre(Faults(status=lambda message: Status.ESME_RSYSERR))

    @pytest.fixture
    def vanishing(self) -> Iterator[Provider]:
        yield from _centre(Faults(cut_share=1))

    @pytest.fixture
    def unreachable(self) -> Provider:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            return smpp_account(taken.getsockname()[1])

    @pytest.fixture
    def messages(self) -> Sequence[Outgoing]:
        return texts(3)
