"""A service to try a provider with: a web server on this machine that answers as it is told."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class FakeService:
    """A provider's service, for tests and rehearsals; a context manager.

    `status` and `body` are its answer to every request, None as `status` hangs up without one.
    `taken` holds the bodies of the requests that it answered with success, where they had one.
    """

    def __init__(
        self, status: int | None = 200, body: bytes = b'{"id": "1"}', port: int = 0
    ) -> None:
        self.status, self.body = status, body
        self.taken: list[bytes] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
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

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if service.status is None:
                self.close_connection = True
                return
            if body and service.status < 300:
                service.taken.append(body)
            self.send_response(service.status)
            self.send_header("Content-Length", str(len(service.body)))
            self.end_headers()
            self.wfile.write(service.body)

        do_GET = do_POST  # noqa: N815 (as the library calls it)

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    return Handler
