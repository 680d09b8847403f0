"""Where benchmarks run: an embedded server of their own, and companies and runs in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from pydantic import SecretStr
from sqlalchemy.orm import Session

from envoi.db import Database, connect
from envoi.delivery.models import Run, RunKind
from envoi.delivery.runs import RunSettings, create_run
from envoi.embedded import EmbeddedPostgres, EmbeddedValkey
from envoi.installation import Installation, open_installation
from envoi.schema import migrate
from envoi.secrets import with_secret_key
from envoi.settings import Settings
from envoi.tenants.service import create_tenant


@dataclass(frozen=True)
class Stage:
    """A running installation for one group of benchmarks, or one row of chaos."""

    installation: Installation
    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey

    @property
    def database(self) -> Database:
        """The installation's database."""
        return self.installation.database

    def tenant(self) -> int:
        """Found a company of its own."""
        return create_tenant(self.database, slug=f"b{uuid4().hex[:12]}", name="Benchmark").id


def open_run(
    session: Session,
    tenant_id: int,
    settings: RunSettings,
    gateway_id: int | None = None,
    channel: str = "email",
) -> Run:
    """Make a run without a mailing around it."""
    return create_run(
        session,
        tenant_id,
        mailing_id=None,
        kind=RunKind.MAILING,
        channel=channel,
        gateway_id=gateway_id,
        settings=settings,
        now=datetime.now(UTC),
    )


@contextmanager
def stage() -> Iterator[Stage]:
    """Start PostgreSQL (durable, as in production) and Valkey in a temporary folder."""
    with (
        TemporaryDirectory(prefix="envoi-bench-") as folder,
        EmbeddedPostgres(Path(folder) / "postgres") as postgres,
        EmbeddedValkey(Path(folder) / "valkey") as valkey,
    ):
        settings = Settings(
            data_dir=Path(folder),
            database_url=SecretStr(postgres.url),
            redis_url=SecretStr(valkey.url),
        )
        owner = connect(postgres.url)
        migrate(owner.engine)
        owner.engine.dispose()
        installation = open_installation(with_secret_key(settings))
        try:
            yield Stage(installation, postgres, valkey)
        finally:
            installation.database.engine.dispose()
