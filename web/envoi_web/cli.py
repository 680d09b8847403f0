"""`envoi web`, `envoi tracking`, `envoi mailbox`: the processes that listen."""

from __future__ import annotations

import asyncio
import signal

import click
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

from envoi.demo.mailbox import mailbox_server
from envoi.installation import database_url
from envoi.settings import Settings, load_settings
from envoi_web.wsgi import THREADS

CONNECTIONS = 1_000
"""Connections that one process holds open at a time; whoever comes later waits."""

HIT_THREADS = 4
"""Threads of a process that takes hits: these wait for nothing but for each other's turn, so more
threads make each of them dearer; the pages beside them still need some."""


def serve(target: str, settings: Settings, port: int, workers: int, threads: int = THREADS) -> None:
    """Serve a WSGI application's factory until a signal ends it."""
    # Said here, once, and not by every process that is started anew because it failed.
    database_url(settings)
    Server(
        target,
        address=settings.host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=threads,
        factory=True,
        websockets=False,
        log_access=False,
        log_level=LogLevels.error,
        respawn_failed_workers=True,
        # Limits connections, not requests: mail programs keep theirs open for half a minute.
        backpressure=CONNECTIONS,
    ).serve()


@click.command()
@click.option("--workers", default=1, show_default=True, help="Processes that serve pages.")
def web(workers: int) -> None:
    """Serve the pages; needs ENVOI_DATABASE_URL and ENVOI_REDIS_URL."""
    settings = load_settings()
    serve("envoi_web.wsgi:pages", settings, settings.port, workers)


@click.command()
@click.option("--workers", default=1, show_default=True, help="Processes that take hits.")
def tracking(workers: int) -> None:
    """Serve links in messages, opens, unsubscribe pages and webhooks."""
    settings = load_settings()
    port = settings.effective_tracking_port
    serve("envoi.tracking.app:application", settings, port, workers, HIT_THREADS)


@click.command()
def mailbox() -> None:
    """Receive the demo's mail by SMTP and keep it for the mailbox page; nothing leaves."""
    _receive(load_settings())


def _receive(settings: Settings) -> None:
    loop = asyncio.new_event_loop()
    server = mailbox_server(settings, loop)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, loop.stop)
    server.begin()  # type: ignore[no-untyped-call]
    try:
        loop.run_forever()
    finally:
        server.end()  # type: ignore[no-untyped-call]
        loop.close()
