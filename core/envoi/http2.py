"""HTTP/2 for providers: many requests at once over one connection, each answered for itself.

Push services speak nothing else. One thread uses a connection; it opens as many streams as the
service allows. What becomes of every request is certain: answered, not taken, or unknown.
"""

from __future__ import annotations

import socket
import ssl
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from urllib.parse import urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError

from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.outgoing.addresses import connect
from envoi.outgoing.exchange import Request, Result, Unanswered
from envoi.outgoing.http import Answer
from envoi.outgoing.tls import secured, unreachable

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 15.0
MOST_STREAMS = 100
MOST_CONNECTIONS = 3
"""So often a batch goes on over a new connection after the service has ended one in order."""

_GOODBYE_SECONDS = 1.0
_MOST_BYTES = 1 << 16
_MOST_READS = 16
_LONGEST_ANSWER = 1 << 17
_BROKEN = (OSError, ProtocolError, ValueError)
"""What ends a connection; names, values and states that are none come as `ValueError`."""


class Http2Client:
    """Exchanges requests with one service; made once, connects when it is first needed.

    Args:
        url: Where the service is: `https://host`, or `http://host` by prior knowledge.
        seconds: How long one batch may take.
    """

    def __init__(self, url: str, seconds: float = ANSWER_SECONDS) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._is_secure = parts.scheme == "https"
        self._port = parts.port or (443 if self._is_secure else 80)
        self._authority = parts.netloc
        self._seconds = seconds
        self._conversation: _Conversation | None = None

    def connect(self) -> None:
        """Connect unless that is done already.

        Raises:
            ProviderError: The service cannot be reached, or may not be.
        """
        if self._conversation is not None and self._conversation.goes_on():
            return
        self.close()
        try:
            link = self._secured(connect(self._host, self._port, CONNECT_SECONDS))
            self._conversation = _Conversation(link, self._is_secure, self._authority)
            self._conversation.greet()
        except (OSError, UnicodeError) as error:
            self.close()
            raise unreachable(self._host, error) from error
        except ProtocolError as error:
            self.close()
            raise self._other_language() from error

    def exchange(self, requests: Sequence[Request]) -> list[Result]:
        """Send requests and return what became of each, in their order.

        Raises:
            ProviderError: No connection could be opened; nothing has left.
        """
        found: list[Result] = [Unanswered.NOT_TAKEN] * len(requests)
        until = monotonic() + self._seconds
        for attempt in range(MOST_CONNECTIONS):
            left = [n for n, result in enumerate(found) if result is Unanswered.NOT_TAKEN]
            if not left or monotonic() >= until:
                break
            try:
                self.connect()
            except (PermanentProviderError, TemporaryProviderError):
                if not attempt:
                    raise
                break
            assert self._conversation is not None
            results = self._conversation.exchange([requests[n] for n in left], until)
            for place, result in zip(left, results, strict=True):
                found[place] = result
        return found

    def close(self) -> None:
        """End the connection; may be repeated."""
        if self._conversation is not None:
            self._conversation.close()
            self._conversation = None

    def _secured(self, link: socket.socket) -> socket.socket:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._is_secure:
            return link
        secure = secured(link, self._host, protocols=["h2"])
        if secure.selected_alpn_protocol() != "h2":
            secure.close()
            raise self._other_language()
        return secure

    def _other_language(self) -> PermanentProviderError:
        return PermanentProviderError(f"{self._host} does not speak HTTP/2. Check the address.")


@dataclass
class _Stream:
    """A request on its way; `place` is its number in the batch."""

    place: int
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class _Conversation:
    """One connection, from its first byte to its end."""

    def __init__(self, link: socket.socket, is_secure: bool, authority: str) -> None:
        self._link = link
        self._scheme = "https" if is_secure else "http"
        self._authority = authority
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._streams: dict[int, _Stream] = {}
        self._results: dict[int, Result] = {}
        self._is_greeted = False
        self.is_over = False

    def greet(self) -> None:
        """Wait for the service's settings, which say how many requests it allows at once."""
        until = monotonic() + CONNECT_SECONDS
        self._flush(until)
        while not self._is_greeted:
            self._read(until)

    def exchange(self, requests: Sequence[Request], until: float) -> list[Result]:
        """Send what fits and read until everything is answered, or nothing comes any more."""
        self._results = {}
        waiting = deque(enumerate(requests))
        try:
            while waiting or self._streams:
                while waiting and self._has_room(waiting[0][1]):
                    self._open(*waiting.popleft())
                self._flush(until)
                if self.is_over and not self._streams:
                    break
                self._read(until)
        except _BROKEN:
            self.is_over = True
        if self.is_over:
            self.close()
        for stream in self._streams.values():
            self._results[stream.place] = Unanswered.UNKNOWN
        self._streams.clear()
        return [self._results.get(n, Unanswered.NOT_TAKEN) for n in range(len(requests))]

    def goes_on(self) -> bool:
        """Whether more can be asked: the service may have ended it while nobody looked."""
        try:
            self._link.settimeout(0)
            for _ in range(_MOST_READS):
                data = self._link.recv(_MOST_BYTES)
                if not data:
                    break
                for event in self._h2.receive_data(data):
                    self._take(event)
            # It has hung up, or it talks without end though nobody asked anything.
            self.is_over = True
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except _BROKEN:
            self.is_over = True
        return not self.is_over

    def close(self) -> None:
        """Say goodbye and hang up."""
        self.is_over = True
        with suppress(OSError, ProtocolError):
            self._h2.close_connection()
            self._flush(monotonic() + _GOODBYE_SECONDS)
        self._link.close()

    def _has_room(self, request: Request) -> bool:
        if self.is_over or len(self._streams) >= MOST_STREAMS:
            return False
        settings = self._h2.remote_settings
        is_free = self._h2.open_outbound_streams < settings.max_concurrent_streams
        window = min(self._h2.outbound_flow_control_window, settings.initial_window_size)
        return is_free and window >= len(request.body)

    def _open(self, place: int, request: Request) -> None:
        number = self._h2.get_next_available_stream_id()
        headers = [
            (":method", request.method),
            (":scheme", self._scheme),
            (":authority", self._authority),
            (":path", request.path),
            *request.headers.items(),
        ]
        self._streams[number] = _Stream(place)
        self._h2.send_headers(number, headers, end_stream=not request.body)
        size = self._h2.max_outbound_frame_size
        for start in range(0, len(request.body), size):
            part = request.body[start : start + size]
            self._h2.send_data(number, part, end_stream=start + size >= len(request.body))

    def _read(self, until: float) -> None:
        self._wait_until(until)
        data = self._link.recv(_MOST_BYTES)
        if not data:
            raise ConnectionResetError
        for event in self._h2.receive_data(data):
            self._take(event)

    def _take(self, event: Event) -> None:
        self._is_greeted = self._is_greeted or isinstance(event, RemoteSettingsChanged)
        if isinstance(event, ConnectionTerminated):
            self._end_after(event.last_stream_id or 0)
            return
        number = getattr(event, "stream_id", None)
        stream = self._streams.get(number) if number else None
        if isinstance(event, DataReceived):
            assert event.stream_id
            size = event.flow_controlled_length or 0
            self._h2.acknowledge_received_data(size, event.stream_id)
        if stream is None:
            return
        if isinstance(event, ResponseReceived):
            stream.headers = {str(name): str(value) for name, value in event.headers or ()}
            stream.status = int(stream.headers.pop(":status", "0"))
        elif isinstance(event, DataReceived):
            if len(stream.body) < _LONGEST_ANSWER:
                stream.body += event.data or b""
        elif isinstance(event, StreamEnded):
            answer = Answer(status=stream.status, headers=stream.headers, body=bytes(stream.body))
            self._finish(event.stream_id, answer)
        elif isinstance(event, StreamReset):
            was_refused = event.error_code == ErrorCodes.REFUSED_STREAM
            self._finish(
                event.stream_id, Unanswered.NOT_TAKEN if was_refused else Unanswered.UNKNOWN
            )

    def _finish(self, number: int | None, result: Result) -> None:
        assert number
        self._results[self._streams.pop(number).place] = result

    def _end_after(self, last: int) -> None:
        """Take the service's word: it has not touched later requests, and wants no new ones."""
        self.is_over = True
        for number in [n for n in self._streams if n > last]:
            self._finish(number, Unanswered.NOT_TAKEN)

    def _flush(self, until: float) -> None:
        if data := self._h2.data_to_send():
            self._wait_until(until)
            self._link.sendall(data)

    def _wait_until(self, until: float) -> None:
        left = until - monotonic()
        if left <= 0:
            raise TimeoutError
        self._link.settimeout(left)
