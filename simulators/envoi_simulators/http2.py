"""A small HTTP/2 server on loopback: with TLS, or for clients that speak it by prior knowledge."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

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

    `goaway` says before the answer that the connection takes no more requests; `reset` gives the
    request up with an error's number.
    """

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    cut: bool = False
    goaway: bool = False
    reset: int | None = None


@dataclass
class _Open:
    """A request that is still coming in."""

    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)


class Http2Server:
    """Answers each connection in a thread of its own; `stop` ends them all.

    Args:
        answer: What becomes of a request.
        port: Where to listen; 0 is any free port.
        tls: The server's side of TLS; clients choose HTTP/2 by ALPN.
        streams: How many requests of a connection may be open at once.
    """

    def __init__(
        self,
        answer: Callable[[Request], Reply],
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        streams: int = 100,
    ) -> None:
        self._answer, self._tls, self._streams = answer, tls, streams
        if tls:
            tls.set_alpn_protocols(["h2"])
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
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
            client = self._greeted(client)
            _Conversation(client, self._answer, self._streams).run()
        except (OSError, ProtocolError):
            pass
        finally:
            with self._lock:
                self._open.discard(client)
            client.close()

    def _greeted(self, client: socket.socket) -> socket.socket:
        if self._tls is None:
            return client
        with self._lock:
            self._open.discard(client)
        secure = self._tls.wrap_socket(client, server_side=True)
        with self._lock:
            self._open.add(secure)
        return secure


class _Conversation:
    """One connection: requests in, replies out."""

    def __init__(
        self, client: socket.socket, answer: Callable[[Request], Reply], streams: int
    ) -> None:
        self._client = client
        self._answer = answer
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._streams = streams
        self._requests: dict[int, _Open] = {}
        self._bodies: dict[int, bytes] = {}
        """What is left to send of answers, which the client takes in its own time."""

    def run(self) -> None:
        """Answer until the client leaves, or a reply is to break off."""
        self._h2.initiate_connection()
        self._h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: self._streams})
        self._flush()
        while data := self._client.recv(MOST_BYTES):
            for event in self._h2.receive_data(data):
                if not self._take(event):
                    return
            self._send_bodies()
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
            self._bodies.pop(event.stream_id, None)
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
        if reply.reset is not None:
            self._h2.reset_stream(stream, reply.reset)
            return True
        named = [(":status", str(reply.status)), *reply.headers]
        self._h2.send_headers(stream, named, end_stream=not reply.body)
        if reply.body:
            self._bodies[stream] = reply.body
            self._send_bodies()
        return True

    def _send_bodies(self) -> None:
        for stream, body in list(self._bodies.items()):
            while body and (room := self._h2.local_flow_control_window(stream)) > 0:
                size = min(room, self._h2.max_outbound_frame_size)
                part, body = body[:size], body[size:]
                self._h2.send_data(stream, part, end_stream=not body)
            self._bodies[stream] = body
            if not body:
                del self._bodies[stream]

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._client.sendall(data)
