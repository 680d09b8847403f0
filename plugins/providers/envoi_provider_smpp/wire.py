"""A connection that one thread reads while another writes, with and without TLS."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from time import monotonic

from envoi.errors import TemporaryProviderError
from envoi.outgoing import connect, secured
from envoi_provider_smpp.settings import Security, SmppSettings

_CHUNK = 64 * 1024
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class LinkLostError(Exception):
    """The other side closed, fell silent or talked nonsense; the words say which."""


class Wire:
    """An open connection; every method may be called by any thread.

    TLS does not allow reading and writing at the same moment, so nothing here waits while it
    holds the lock.
    """

    def __init__(self, settings: SmppSettings) -> None:
        """Connect; raise `ProviderError` when that fails."""
        self._patience = settings.answer_timeout
        self._socket = _opened(settings)
        self._socket.setblocking(False)
        self._number = self._socket.fileno()
        self._using = threading.Lock()
        self._writing = threading.Lock()

    def write(self, data: bytes) -> None:
        """Send all of it; raise `LinkLostError` when that is not sure."""
        rest = memoryview(data)
        until = monotonic() + self._patience
        with self._writing:
            while rest:
                sent = self._send(rest)
                rest = rest[sent:]
                if not sent and not self._wait(select.POLLOUT, until - monotonic()):
                    raise LinkLostError("the server takes nothing any more")

    def read(self, timeout: float) -> bytes:
        """Return what has arrived, nothing after so long a silence; raise `LinkLostError`."""
        data = self._receive()
        if data is None and self._wait(select.POLLIN, timeout):
            data = self._receive()
        return data or b""

    def close(self) -> None:
        """Close at once; who reads at this moment notices."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with self._using:
            self._socket.close()

    def _send(self, data: memoryview) -> int:
        try:
            with self._using:
                return self._socket.send(data)
        except _NOT_NOW:
            return 0
        except OSError as error:
            raise LinkLostError(_words(error)) from error

    def _receive(self) -> bytes | None:
        try:
            with self._using:
                data = self._socket.recv(_CHUNK)
        except _NOT_NOW:
            return None
        except OSError as error:
            raise LinkLostError(_words(error)) from error
        if not data:
            raise LinkLostError("the server closed the connection")
        return data

    def _wait(self, what: int, timeout: float) -> bool:
        poll = select.poll()
        poll.register(self._number, what)
        return bool(poll.poll(max(0, round(timeout * 1000))))


def _opened(settings: SmppSettings) -> socket.socket:
    try:
        plain = connect(settings.host, settings.port, settings.connect_timeout)
    except (OSError, UnicodeError) as error:
        place = f"{settings.host}:{settings.port}"
        message = f"The SMPP server {place} cannot be reached. Check host, port and network."
        raise TemporaryProviderError(message, raw=_words(error)) from error
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _protected(plain, settings) if settings.security is Security.TLS else plain


def _protected(plain: socket.socket, settings: SmppSettings) -> socket.socket:
    try:
        return secured(plain, settings.host, verify=settings.verify_certificate)
    except OSError as error:
        message = f"No TLS with {settings.host}:{settings.port}. Check security and port."
        raise TemporaryProviderError(message, raw=_words(error)) from error


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
