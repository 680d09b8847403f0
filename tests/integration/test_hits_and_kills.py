"""The tracking server as a process: what a kill costs, and who keeps whom waiting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from threading import Timer
from time import monotonic, sleep

from envoi.db import Database
from envoi.tracking import counters
from envoi.tracking.tokens import TokenKind, TokenSigner
from envoi.tracking.urls import UrlMaker
from ledger_rows import LedgerRun, add_customers, add_messages, add_run, scalar

SECRET = "a secret of the tests, 32 letters"
PERSON = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
MOMENT = 0.2
"""Seconds of hits that a kill may cost."""

BUSY = 0.3
"""Seconds that a thread may wait for its turn on a busy machine."""


@dataclass(frozen=True)
class Answered:
    """When each open was answered, by customer, and when the server was killed."""

    at: dict[int, float]
    killed_at: float


def test_a_kill_costs_the_hits_of_a_moment(
    database: Database, postgres_url: str, tenant_id: int, free_port: int
) -> None:
    customers = add_customers(database, tenant_id, 3_000)
    run = add_run(database, tenant_id)
    add_messages(database, run, customers)
    with serving(postgres_url, free_port) as server:
        answered = opens_until_killed(server, free_port, run, customers, after=1.0)
    assert len(answered.at) > 50
    kept = kept_customers(database, run)
    lost = [answered.killed_at - at for one, at in answered.at.items() if one not in kept]
    assert max(lost, default=0) <= MOMENT + BUSY
    assert counters.compare(database, tenant_id, run.run_id) == []


def test_readers_who_keep_their_connections_keep_nobody_out(
    postgres_url: str, free_port: int
) -> None:
    with serving(postgres_url, free_port), ExitStack() as kept:
        kept.callback(connected(free_port).close)
        for _ in range(100):
            reader = HTTPConnection("127.0.0.1", free_port, timeout=10)
            kept.callback(reader.close)
            reader.request("GET", "/page.css")
            assert reader.getresponse().read()


def opens_until_killed(
    server: subprocess.Popen[bytes],
    port: int,
    run: LedgerRun,
    customers: list[int],
    *,
    after: float,
) -> Answered:
    """Open one message after the other until the whole server is killed."""
    maker = UrlMaker("", TokenSigner([SECRET]))
    paths = {one: maker.message(run.ref(one)).of(TokenKind.OPEN) for one in customers}
    connection = connected(port)
    killed: list[float] = []

    def kill() -> None:
        killed.append(monotonic())
        os.killpg(server.pid, signal.SIGKILL)

    Timer(after, kill).start()
    answered: dict[int, float] = {}
    for customer, path in paths.items():
        try:
            connection.request("GET", path, headers=PERSON)
            assert connection.getresponse().read().startswith(b"GIF89a")
        except (OSError, HTTPException):
            break
        answered[customer] = monotonic()
        sleep(0.001)
    connection.close()
    server.wait(10)
    return Answered(answered, killed[0])


def kept_customers(database: Database, run: LedgerRun) -> set[int]:
    with database.tenant_connection(run.tenant_id) as connection:
        sql = "SELECT array_agg(customer_id) FROM message_event WHERE run_id = :run"
        return set(scalar(connection, sql, run=run.run_id) or [])


@contextmanager
def serving(postgres_url: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run `envoi tracking` in a process group of its own."""
    environment = os.environ | {
        "ENVOI_DATABASE_URL": postgres_url,
        "ENVOI_SECRET_KEY": SECRET,
        "ENVOI_TRACKING_PORT": str(port),
    }
    command = [sys.executable, "-m", "envoi", "tracking"]
    server = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        yield server
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def connected(port: int) -> HTTPConnection:
    """Connect as soon as the server answers."""
    deadline = monotonic() + 90
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/page.css")
            connection.getresponse().read()
        except OSError:
            assert monotonic() < deadline
            sleep(0.1)
        else:
            return connection
