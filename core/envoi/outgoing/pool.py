"""Connections of the HTTP client, opened by the way that is looked at."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from socket import gaierror
from typing import Any

from httpcore import ConnectError, ConnectionPool, NetworkStream, SyncBackend

from envoi.outgoing.addresses import open_addresses

_IDLE_SECONDS = 15.0


class LookedAt(SyncBackend):
    """Connects to the addresses that a name had when it was looked at."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> NetworkStream:
        """Connect to the first address that answers."""
        try:
            *others, last = open_addresses(host, port)
        except gaierror as error:
            raise ConnectError(str(error)) from error
        for address in others:
            try:
                return super().connect_tcp(address, port, timeout, local_address, socket_options)
            except ConnectError:
                continue
        return super().connect_tcp(last, port, timeout, local_address, socket_options)


def make_pool(tls: ssl.SSLContext, connections: int) -> ConnectionPool:
    """Make the pool of a client."""
    return ConnectionPool(
        ssl_context=tls,
        max_connections=connections,
        max_keepalive_connections=connections,
        keepalive_expiry=_IDLE_SECONDS,
        network_backend=LookedAt(),
    )
