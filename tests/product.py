"""The whole product as a person starts it: `envoi up`, with an SMTP server that takes its mail."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from envoi.db import Database, connect
from envoi.embedded import EmbeddedPostgres
from envoi.settings import Settings
from processes import wait_until
from smtp_sink import SmtpSink

EMAIL, PASSWORD = "anna@fieldmarket.test", "a password for tests"


@dataclass(frozen=True)
class Product:
    """A running product with one company, its employee and its gateway."""

    folder: Path
    environment: dict[str, str]
    port: int
    sink: SmtpSink

    @property
    def address(self) -> str:
        """Where the pages are, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> Settings:
        """The settings that the product runs with."""
        return Settings(data_dir=self.folder, database_url=SecretStr(self._postgres.url))

    @contextmanager
    def database(self) -> Iterator[Database]:
        """The product's own database, as its owner."""
        found = connect(self._postgres.url)
        yield found
        found.engine.dispose()

    def envoi(self, *arguments: str, given: str = "") -> Any:
        """Run a command and return the JSON it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "envoi", *arguments],
            input=given,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout) if done.stdout.strip() else None

    @property
    def _postgres(self) -> EmbeddedPostgres:
        return EmbeddedPostgres(self.folder / "postgres")


@contextmanager
def running_product(folder: Path, **variables: str) -> Iterator[Product]:
    """Start the product in a folder, with a company `shop` whose mail goes to a sink."""
    port = free_ports(5)
    environment = {
        **os.environ,
        "ENVOI_DATA_DIR": str(folder),
        "ENVOI_PORT": str(port),
        "ENVOI_DEMO": "false",
        "ENVOI_UNDO_SECONDS": "1",
        **variables,
    }
    log = (folder / "log.txt").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "envoi", "up"], env=environment, stdout=log, stderr=log
    )
    try:
        with SmtpSink() as sink:
            product = Product(folder, environment, port, sink)
            wait_until(lambda: _answers(product), seconds=150, what="the sign-in page")
            _found_company(product)
            yield product
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=15)
        finally:
            process.kill()
            log.seek(0)
            print(log.read()[-8000:])  # noqa: T201 (pytest shows it when a test fails)
            log.close()


def _found_company(product: Product) -> None:
    product.envoi("tenant", "create", "shop", "--name", "Fieldmarket")
    product.envoi("user", "create", EMAIL, "--tenant", "shop", "--password", PASSWORD)
    gateway = {"host": "127.0.0.1", "port": product.sink.port, "security": "none"}
    product.envoi("gateway", "set", "--tenant", "shop", given=json.dumps(gateway))


def _answers(product: Product) -> bool:
    try:
        return httpx.get(f"{product.address}/login", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def free_ports(count: int) -> int:
    """Find a port that is free together with the next: pages, tracking, demo mail, ..."""
    while True:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
        try:
            for number in range(port + 1, port + count):
                with socket.socket() as other:
                    other.bind(("127.0.0.1", number))
        except OSError:
            continue
        return port
