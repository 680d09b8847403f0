"""Addresses: which ones are looked at, and connected to."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from time import monotonic

from envoi.errors import PermanentProviderError

_NAT64 = IPv6Network("64:ff9b::/96")
_CLOSED = [ip_network(name) for name in ("192.0.0.0/24", "::/96", "64:ff9b:1::/48", "fec0::/10")]
"""What Python's own list takes for public in some of its releases."""
_LEAST_SECONDS = 0.1
_policy = {"private": True}


def allow_private(allowed: bool) -> None:
    """Let this process connect to private networks and to its own machine, or not."""
    _policy["private"] = allowed


def connect(host: str, port: int, timeout: float) -> socket.socket:
    """Connect to a server that a company named.

    Raises:
        PermanentProviderError: It is where companies may not go.
        OSError: It cannot be reached.
    """
    failures: list[OSError] = []
    for address, seconds in in_turn(open_addresses(host, port), timeout):
        try:
            opened = socket.create_connection((address, port), seconds)
        except OSError as error:
            failures.append(error)
        else:
            opened.settimeout(timeout)
            return opened
    raise failures[-1]


def in_turn(addresses: Sequence[str], seconds: float) -> Iterator[tuple[str, float]]:
    """Share the time for a server among its addresses: each gets its part of what is left."""
    until = monotonic() + seconds
    for number, address in enumerate(addresses):
        yield address, max(_LEAST_SECONDS, until - monotonic()) / (len(addresses) - number)


def open_addresses(host: str, port: int) -> list[str]:
    """Look a name up, and return what may be connected to, the best first.

    Raises:
        PermanentProviderError: It is where companies may not go.
        OSError: There is no such name.
    """
    if _policy["private"]:
        return [host]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(each[4][0]) for each in found]
    if not all(map(is_public, addresses)):
        raise PermanentProviderError(
            f"The server {host} is in a private network, which is closed to companies here. Enter"
            " a public one, or ask whoever runs the servers."
        )
    return addresses


def is_public(address: str) -> bool:
    """Whether an address is one of the internet's, in whatever form it hides another one."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address) and (inner := _inside(ip)) is not None:
        ip = inner
    return ip.is_global and not ip.is_multicast and not any(ip in each for each in _CLOSED)


def _inside(ip: IPv6Address) -> IPv4Address | None:
    if ip in _NAT64:
        return IPv4Address(ip.packed[-4:])
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
