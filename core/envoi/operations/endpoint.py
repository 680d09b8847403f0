"""The address that Prometheus scrapes: `/metrics` on a port of its own, apart from the public."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from envoi.errors import ConfigurationError
from envoi.installation import Installation
from envoi.operations.exposition import CONTENT_TYPE, expose, samples
from envoi.settings import Settings

log = structlog.get_logger()

PATH = "/metrics"


def check_metrics_settings(settings: Settings) -> None:
    """Raise `ConfigurationError` where the figures would be open to a network."""
    if settings.metrics_token.get_secret_value() or _is_loopback(settings.metrics_host):
        return
    raise ConfigurationError(
        f"ENVOI_METRICS_HOST is {settings.metrics_host}, which others reach, and there is no"
        " ENVOI_METRICS_TOKEN. Set a token of 32 random characters, or listen on 127.0.0.1."
    )


@contextmanager
def serving_metrics(installation: Installation) -> Iterator[int]:
    """Serve the figures until the end of the block; give the port, 0 where another has it."""
    settings = installation.settings
    check_metrics_settings(settings)
    place = (settings.metrics_host, settings.effective_metrics_port)
    try:
        server = ThreadingHTTPServer(place, partial(_Handler, installation))
    except OSError as error:
        # Of two schedulers of a host one serves; the figures are the same.
        log.warning("metrics_not_served", port=place[1], error=str(error))
        yield 0
        return
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    timeout = 10
    server_version = "envoi"
    sys_version = ""

    def __init__(self, installation: Installation, *arguments: Any) -> None:
        self._installation = installation
        super().__init__(*arguments)

    def do_GET(self) -> None:
        if self.path != PATH:
            self._answer(404, "Nothing is here; the figures are at /metrics.\n")
        elif not self._may_see():
            self._answer(401, "Send ENVOI_METRICS_TOKEN as a bearer token.\n")
        else:
            self._figures()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a scrape every few seconds is no event."""

    def _figures(self) -> None:
        try:
            self._answer(200, expose(samples(self._installation)))
        except SQLAlchemyError as error:
            log.warning("metrics_failed", error=str(error))
            self._answer(503, "The database does not answer.\n")

    def _may_see(self) -> bool:
        token = self._installation.settings.metrics_token.get_secret_value()
        given = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        return not token or hmac.compare_digest(given.encode(), token.encode())

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
