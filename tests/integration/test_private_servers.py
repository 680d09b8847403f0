"""Where companies share an installation, gateways lead into no private network."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.outgoing import allow_private, is_public
from envoi_channel_email.settings import SmtpSettings
from envoi_channel_email.smtp import SmtpProvider
from smtp_sink import SmtpSink

HERE = [
    *("127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "0", "0.0.0.0", "2130706433"),
    *("0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1", "localhost", "LOCALHOST"),
    *("::1", "0:0:0:0:0:0:0:1", "::", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:0:0"),
    *("64:ff9b::7f00:1", "64:ff9b::127.0.0.1", "2002:7f00:1::", "2002:7f00:1::1"),
]
PRIVATE = [
    *("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.1.1"),
    *("169.254.169.254", "169.254.0.1", "100.64.0.1", "100.127.255.254", "192.0.0.8", "192.0.2.1"),
    *("198.18.0.1", "198.51.100.1", "203.0.113.1", "240.0.0.1", "255.255.255.255", "224.0.0.1"),
    *("239.255.255.250", "0xa9fea9fe", "2852039166", "10.1", "192.168.257", "0300.0250.0.1"),
    *("fc00::1", "fd12:3456:789a::1", "fe80::1", "fec0::1", "ff02::1", "2001:db8::1", "100::1"),
    *(
        "::127.0.0.1",
        "::a00:1",
        "::ffff:10.0.0.1",
        "::ffff:a9fe:a9fe",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::a00:1",
    ),
    *("64:ff9b:1::1", "2002:a9fe:a9fe::", "2002:a00:1::1", "2001:0:1:2:3:4:80ff:fffe"),
]


@pytest.fixture(autouse=True)
def shared() -> Iterator[None]:
    allow_private(False)
    yield
    allow_private(True)


def connect(host: str, port: int) -> None:
    settings = SmtpSettings.model_validate(
        {"host": host, "port": port, "security": "none", "connect_timeout": 0.5}
    )
    SmtpProvider(settings).connect().close()


def test_no_form_of_an_address_leads_inside() -> None:
    assert len(HERE) + len(PRIVATE) >= 60
    with SmtpSink() as trap:
        for host in (*HERE, *PRIVATE):
            with pytest.raises((PermanentProviderError, TemporaryProviderError)) as refused:
                connect(host, trap.port)
            said = f"{refused.value} {refused.value.raw}"
            assert "private network" in said or "not known" in said or "family" in said, host
        assert trap.connections == 0
        allow_private(True)
        connect("127.0.0.1", trap.port)


def test_a_name_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is public when it is looked at, and ours a moment later."""
    asked: list[str] = []
    tried: list[str] = []
    ask = socket.getaddrinfo

    def answer(host: str, port: int, *rest: int, **more: int) -> object:
        if host != "mail.rebinding.test":
            return ask(host, port, *rest, **more)
        asked.append(host)
        return ask("198.41.0.4" if len(asked) == 1 else "127.0.0.1", port, *rest, **more)

    def refuse(place: tuple[str, int], timeout: float) -> socket.socket:
        tried.append(place[0])
        raise ConnectionRefusedError(timeout)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(TemporaryProviderError, match="cannot be reached"):
        connect("mail.rebinding.test", 25)
    assert tried == ["198.41.0.4"], "the address that was looked at, not the name"
    with pytest.raises(PermanentProviderError, match="private network"):
        connect("mail.rebinding.test", 25)
    assert len(tried) == 1


@pytest.mark.parametrize(
    "address", ["198.41.0.4", "8.8.8.8", "2001:503:ba3e::2:30", "64:ff9b::808:808"]
)
def test_the_internet_stays_open(address: str) -> None:
    assert is_public(address)
