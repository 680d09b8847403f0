"""The SMTP provider keeps the contract of providers."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence

import pytest

from envoi.testing import ProviderContract
from envoi.types import Outgoing, Provider
from envoi_channel_email.settings import SmtpSettings
from envoi_channel_email.smtp import SmtpProvider
from smtp_sink import Script, SmtpSink


def _account(port: int) -> SmtpProvider:
    return SmtpProvider(
        SmtpSettings.model_validate({"host": "127.0.0.1", "port": port, "security": "none"})
    )


def _scripted(action: str) -> Iterator[Provider]:
    with SmtpSink(Script(rules=((".", action),))) as sink:
        yield _account(sink.port)


class TestSmtpProvider(ProviderContract):
    """SMTP."""

    @pytest.fixture
    def provider(self) -> Iterator[Provider]:
        yield from _scripted("")

    @pytest.fixture
    def refusing(self) -> Iterator[Provider]:
        yield from _scripted("550 5.1.1 unknown user")

    @pytest.fixture
    def busy(self) -> Iterator[Provider]:
        yield from _scripted("451 4.7.1 come back later")

    @pytest.fixture
    def vanishing(self) -> Iterator[Provider]:
        yield from _scripted("drop_after")

    @pytest.fixture
    def unreachable(self) -> Provider:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            return _account(taken.getsockname()[1])

    @pytest.fixture
    def messages(self) -> Sequence[Outgoing]:
        return [
            Outgoing(
                key=f"k{n}",
                address=f"c{n}@example.test",
                sender=f"b+k{n}@bounce.envoi.test",
                payload=f"Message-ID: <k{n}@envoi.test>\r\nSubject: {n}\r\n\r\n.dot\r\n".encode(),
            )
            for n in range(3)
        ]
