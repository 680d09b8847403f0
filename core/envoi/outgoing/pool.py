"""Connections of the HTTP client, opened by the way that is looked at."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable
from math import inf
from socket import gaierror
from time import monotonic
from typing import Any

from httpcore import (
    ConnectError,
    ConnectionPool,
    ConnectTimeout,
    NetworkStream,
    SyncBackend,
)

from envoi.outgoing.addresses import in_turn, open_addresses

_IDLE_SECONDS = 15.0
_LEAST_SECONDS = 0.001


class Deadline(threading.local):
    """When the request of the calling thread has to be over, by the monotonic clock."""

    until = inf

    def left(self, timeout: float | None) -> float:
        """How long an operation may take that is given so much time by itself."""
        left = max(_LEAST_SECONDS, self.until - monotonic())
        return left if timeout is None else min(timeout, left)


class LookedAt(SyncBackend):
    """Connects to the addresses that a name had when it was looked at."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

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
            addresses = open_addresses(host, port)
        except gaierror as error:
            raise ConnectError(str(error)) from error
        failure: ConnectError | ConnectTimeout = ConnectTimeout()
        for address, seconds in in_turn(addresses, self._deadline.left(timeout)):
            try:
                found = super().connect_tcp(address, port, seconds, local_address, socket_options)
                return _InTime(found, self._deadline)
            except (ConnectError, ConnectTimeout) as error:
                failure = error
        raise failure


class _InTime(NetworkStream):
    """A connection that waits for no longer than the request may take, be it byte by byte."""

    def __init__(self, stream: NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what has come."""
        return self._stream.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of it."""
        self._stream.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> NetworkStream:
        """Go on with TLS."""
        seconds = self._deadline.left(timeout)
        secured = self._stream.start_tls(ssl_context, server_hostname, seconds)
        return _InTime(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        """Say what is known of the connection."""
        return self._stream.get_extra_info(info)


def make_pool(tls: ssl.SSLContext, connections: int, deadline: Deadline) -> ConnectionPool:
    """Make the pool of a client."""
    return ConnectionPool(
        ssl_context=tls,
        max_connections=connections,
        max_keepalive_connections=connections,
        keepalive_expiry=_IDLE_SECONDS,
        network_backend=LookedAt(deadline),
    )
