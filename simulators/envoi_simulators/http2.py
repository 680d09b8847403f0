"""A small HTTP/2 server on loopback without TLS, which clients speak to by prior knowledge."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

MOST_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request that has come in whole; names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What is answered; `cut` breaks the connection instead of answering.

    `goaway` says before the answer that the connection takes no more requests.
    """

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    cut: bool = False
    goaway: bool = False


@dataclass
class _Open:
    """A request that is still coming in."""

    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)


class Http2Server:
    """Answers each connection in a thread of its own; `stop` ends them all."""

    def __init__(self, answer: Callable[[Request], Reply], port: int = 0) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.connections = 0
        """How many clients have connected so far."""

    def start(self) -> None:
        """Take connections from now on."""
        threading.Thread(target=self._listen, name="http2", daemon=True).start()

    def stop(self) -> None:
        """Take none any more, and end those that are open."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """End every connection that is open."""
        with self._lock:
            mine = list(self._open)
        for each in mine:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(client)
                self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            _Conversation(client, self._answer).run()
        except (OSError, ProtocolError):
            pass
        finally:
            with self._lock:
                self._open.discard(client)
            client.close()


class _Conversation:
    """One connection: requests in, replies out."""

    def __init__(self, client: socket.socket, answer: Callable[[Request], Reply]) -> None:
        self._client = client
        self._answer = answer
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._requests: dict[int, _Open] = {}

    def run(self) -> None:
        """Answer until the client leaves, or a reply is to break off."""
        self._h2.initiate_connection()
        self._flush()
        while data := self._client.recv(MOST_BYTES):
            for event in self._h2.receive_data(data):
                if not self._take(event):
                    return
            self._flush()

    def _take(self, event: Event) -> bool:
        if isinstance(event, RequestReceived) and event.stream_id and event.headers:
            headers = {str(name): str(value) for name, value in event.headers}
            self._requests[event.stream_id] = _Open(headers)
        elif isinstance(event, DataReceived) and event.stream_id:
            if event.stream_id in self._requests:
                self._requests[event.stream_id].body += event.data or b""
            self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        elif isinstance(event, StreamReset) and event.stream_id:
            self._requests.pop(event.stream_id, None)
        elif isinstance(event, StreamEnded) and event.stream_id in self._requests:
            assert event.stream_id
            return self._reply(event.stream_id, self._requests.pop(event.stream_id))
        return True

    def _reply(self, stream: int, request: _Open) -> bool:
        headers = request.headers
        reply = self._answer(
            Request(
                method=headers[":method"],
                path=headers[":path"],
                headers=headers,
                body=bytes(request.body),
            )
        )
        if reply.cut:
            return False
        if reply.goaway:
            self._h2.close_connection(last_stream_id=stream)
            self._flush()
            return False
        named = [(":status", str(reply.status)), *reply.headers]
        self._h2.send_headers(stream, named, end_stream=not reply.body)
        if reply.body:
            self._h2.send_data(stream, reply.body, end_stream=True)
        return True

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._client.sendall(data)
