"""`envoi doctor` on the servers: the database's settings, the queue, and clocks that agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import text

from envoi.cli.findings import Finding
from envoi.installation import Installation
from envoi.settings import Settings
from envoi.valkey import connect_valkey

MOST_CLOCK_SECONDS = 2
SAFE = ("fsync", "full_page_writes", "synchronous_commit")
"""Settings without which a message that was sent may be forgotten, and sent again."""
OTHER_CONNECTIONS = 65
"""Of pages, tracking, scheduler, listener and what else is done now and then."""


def check_database_settings(installation: Installation) -> Iterator[Finding]:
    """Look whether the database keeps what it confirms, and admits all processes."""
    with installation.database.engine.connect() as connection:
        values = {
            name: str(connection.execute(text(f"SHOW {name}")).scalar_one())
            for name in (*SAFE, "max_connections")
        }
    for name in SAFE:
        remedy = f"Set {name} = on: what is not on disk is sent again after a power failure."
        yield Finding(f"database {name}", values[name] != "off", values[name], remedy)
    most, wanted = int(values["max_connections"]), connections_of(installation.settings)
    yield Finding(
        "database connections",
        most >= wanted,
        f"{most} allowed, {wanted} used at most by one host",
        "Raise max_connections, or lower ENVOI_WORKER_PROCESSES or ENVOI_WORKER_THREADS.",
    )


def connections_of(settings: Settings) -> int:
    """How many connections the processes of one host keep."""
    sending = settings.worker_processes * (2 * settings.worker_threads + 4)
    return sending + OTHER_CONNECTIONS


def check_queue(installation: Installation) -> Iterator[Finding]:
    """Look whether Valkey answers, keeps what it has, and has the time that we have."""
    try:
        with connect_valkey(installation.settings.redis_url.get_secret_value()) as client:
            yield from _of_queue(client)
    except RedisError as error:
        yield Finding("queue", False, str(error), "Check ENVOI_REDIS_URL; sending goes on slower.")


def _of_queue(client: Redis) -> Iterator[Finding]:
    client.ping()
    yield Finding("queue", True, "answers")
    policy = _setting(client, "maxmemory-policy")
    yield Finding(
        "queue memory", policy == "noeviction", policy, "Set maxmemory-policy noeviction."
    )
    yield Finding("queue persistence", True, _persistence(client))
    yield _clock_of("queue", lambda: _time_of(client))


def check_clock(installation: Installation) -> Iterator[Finding]:
    """Look whether this host has the database's time."""
    with installation.database.engine.connect() as connection:

        def ask() -> float:
            there: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
            return there.timestamp()

        ask()
        yield _clock_of("database", ask)


def _clock_of(name: str, ask: Callable[[], float]) -> Finding:
    before = time.time()
    there = ask()
    apart = abs(there - (before + time.time()) / 2)
    found = f"{apart:.1f} s from the {name}"
    return Finding(f"clock and {name}", apart <= MOST_CLOCK_SECONDS, found, "Set up NTP.")


def _time_of(client: Redis) -> float:
    seconds, micros = client.time()
    return float(seconds) + float(micros) / 1e6


def _persistence(client: Redis) -> str:
    """No way is wrong: what is lost with Valkey is found again in the database."""
    if _setting(client, "appendonly") == "yes":
        return "append-only file"
    return "snapshots" if _setting(client, "save") else "none; a restart begins empty"


def _setting(client: Redis, name: str) -> str:
    return str(dict(client.config_get(name)).get(name, ""))
