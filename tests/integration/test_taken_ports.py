"""`envoi up` where something else listens: one sentence, and nothing is started."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from envoi.cli import commands
from envoi.errors import ConfigurationError

PORTS = ("ENVOI_PORT", "ENVOI_TRACKING_PORT", "ENVOI_INBOUND_PORT", "ENVOI_SMTP_DEMO_PORT")
# Nothing is started for them, and nobody gets as far as asking for them.
SERVERS = {
    "ENVOI_DATABASE_URL": "postgresql+psycopg://own.test/envoi",
    "ENVOI_REDIS_URL": "redis://own.test",
}


@pytest.fixture
def sockets() -> Iterator[dict[str, socket.socket]]:
    """A bound socket for each of the ports of an installation."""
    bound = {name: socket.socket() for name in PORTS}
    for one in bound.values():
        one.bind(("127.0.0.1", 0))
    yield bound
    for one in bound.values():
        one.close()


@pytest.mark.parametrize("taken", PORTS)
def test_a_taken_port_and_its_setting_are_named(
    taken: str, sockets: dict[str, socket.socket]
) -> None:
    ports = {name: str(one.getsockname()[1]) for name, one in sockets.items()}
    for name, one in sockets.items():
        one.listen() if name == taken else one.close()
    answer = CliRunner().invoke(commands, ["up"], env={**SERVERS, **ports})
    assert isinstance(answer.exception, ConfigurationError)
    said = str(answer.exception)
    assert said.startswith(f"Envoi cannot listen on port {ports[taken]} of 127.0.0.1: ")
    assert f"Set {taken} to a port that is free" in said
    assert answer.output == ""
