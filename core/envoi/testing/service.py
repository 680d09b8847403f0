"""A service to try a provider with: a web server on this machine that answers as it is told."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class FakeService:
    """A provider's service, for tests and rehearsals; a context manager.

    `status`, `body` and `headers` are its answer to every request, None as `status` hangs up
    without one. `asked` counts the requests, and `taken` holds the bodies of those that it answered
    with success, where they had one. With `tls` it is reached by https.
    """

    def __init__(
        self,
        status: int | None = 200,
        body: bytes = b'{"id": "1"}',
        port: int = 0,
        *,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.status, self.body, self.headers = status, body, headers or {}
        self.asked, self.taken = 0, list[bytes]()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(service: FakeService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with suppress(ConnectionError):
                super().handle()

        def do_POST(self) -> None:
            service.asked += 1
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if service.status is None:
                self.close_connection = True
                return
            if body and service.status < 300:
                service.taken.append(body)
            self.send_response(service.status)
            for name, value in {"Content-Length": len(service.body), **service.headers}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(service.body)

        do_GET = do_POST  # noqa: N815 (as the library calls it)

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    return Handler
