"""Servers that all tests share: one PostgreSQL and one Valkey for a whole test run."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from argon2 import PasswordHasher
from hypothesis import HealthCheck, settings
from passlib.hash import argon2  # type: ignore[import-untyped]
from psycopg import sql

from envoi.accounts import service as accounts
from envoi.db import Database, connect
from envoi.embedded import EmbeddedPostgres, EmbeddedValkey
from envoi.embedded.server import EmbeddedServer
from envoi.plugins import Plugins, load_plugins
from envoi.schema import migrate
from envoi.tenants.service import create_tenant

# A busy machine is no reason to fail: what must be fast has a test of its own that says so.
settings.register_profile("envoi", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("envoi")


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Make passwords cheap to check: a quarter of a second each is minutes in these tests."""
    with pytest.MonkeyPatch.context() as patch:
        hasher = partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)
        patch.setattr(accounts, "PasswordHasher", hasher)
        # Flask-Security checks by this one, and would hash anew what cost something else.
        for name, cost in {"default_rounds": 1, "memory_cost": 8, "parallelism": 1}.items():
            patch.setattr(argon2, name, cost)
        yield


@contextmanager
def shared_between_workers(server: EmbeddedServer) -> Iterator[None]:
    """Run a server for every process of this test run; the one that started it ends last.

    Users hold a shared lock; the starter waits for an exclusive one before it stops the
    server. The lock of a worker that crashed frees itself.
    """
    folder = server.home.parent
    folder.mkdir(parents=True, exist_ok=True)
    users = os.open(folder / f"{server.home.name}.users", os.O_RDWR | os.O_CREAT)
    starting = os.open(folder / f"{server.home.name}.starting", os.O_RDWR | os.O_CREAT)
    fcntl.flock(starting, fcntl.LOCK_EX)
    fcntl.flock(users, fcntl.LOCK_SH)
    started_here = not server.is_running()
    if started_here:
        server.start()
    fcntl.flock(starting, fcntl.LOCK_UN)
    try:
        yield
    finally:
        if started_here:
            fcntl.flock(users, fcntl.LOCK_EX)
            server.stop()
            shutil.rmtree(server.home)
        os.close(users)
        os.close(starting)


@pytest.fixture(scope="session")
def servers_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all processes of this test run share."""
    base = tmp_path_factory.getbasetemp()
    return (base if worker_id == "master" else base.parent) / "servers"


@pytest.fixture(scope="session")
def postgres(servers_folder: Path) -> Iterator[EmbeddedPostgres]:
    """The PostgreSQL server of this test run."""
    server = EmbeddedPostgres(servers_folder / "postgres", durable=False)
    with shared_between_workers(server):
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres: EmbeddedPostgres, worker_id: str) -> str:
    """The owner's URL of an empty database that only this process uses."""
    database = f"envoi_test_{worker_id}"
    with postgres.connect() as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
    return postgres.database_url(database)


@pytest.fixture(scope="session")
def database(postgres_url: str) -> Iterator[Database]:
    """A migrated database that only this process uses; tests make tenants of their own in it."""
    found = connect(postgres_url)
    migrate(found.engine)
    yield found
    found.engine.dispose()


@pytest.fixture
def tenant_id(database: Database) -> int:
    """A fresh tenant with its settings and the Standard policy."""
    return create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Fieldmarket").id


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    """Every installed plugin."""
    return load_plugins()


@pytest.fixture(scope="session")
def redis_url(servers_folder: Path, worker_id: str) -> Iterator[str]:
    """The URL of a Valkey that only this process uses."""
    with EmbeddedValkey(servers_folder / f"valkey-{worker_id}") as server:
        yield server.url


@pytest.fixture
def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
