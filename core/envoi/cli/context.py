"""What commands share: an open installation, a tenant by its short name, JSON in and out."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import BaseModel, SecretStr
from sqlalchemy.orm import Session

from envoi.embedded.stack import running_servers
from envoi.errors import ConfigurationError, Problem, ValidationFailedError
from envoi.installation import Installation, open_installation
from envoi.secrets import with_secret_key
from envoi.settings import Settings, load_settings
from envoi.tenants.service import find_tenant

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def opened(settings: Settings | None = None, *, first: bool = False) -> Iterator[Installation]:
    """Open the installation; embedded servers are shared with a running `envoi up`, or started.

    Args:
        settings: Those of the environment if not given.
        first: Make the embedded database where there is none, as its first command.

    Raises:
        ConfigurationError: If the data folder is not that of an installation.
    """
    settings = settings or load_settings()
    if not first:
        _require_database(settings)
    with running_servers(settings, share=True) as urls:
        installation = open_installation(
            with_secret_key(
                settings.model_copy(
                    update={
                        "database_url": SecretStr(urls.database_url),
                        "redis_url": SecretStr(urls.redis_url),
                    }
                )
            )
        )
        try:
            yield installation
        finally:
            installation.database.engine.dispose()


def _require_database(settings: Settings) -> None:
    """Refuse to make an empty database: whoever is in another folder means the one that runs."""
    embedded = not settings.database_url.get_secret_value()
    if embedded and not (settings.data_dir / "postgres").exists():
        raise ConfigurationError(
            f"There is no database of Envoi in {settings.data_dir.absolute()}. Run the command in"
            " the folder where Envoi was started, or set ENVOI_DATA_DIR to its data folder."
            " If it was never started, begin with `envoi up`."
        )


@contextmanager
def opened_for(slug: str) -> Iterator[tuple[Installation, int]]:
    """Open the installation for one tenant, named by its short name."""
    with opened() as installation:
        yield installation, find_tenant(installation.database, slug).id


@contextmanager
def in_tenant(slug: str) -> Iterator[tuple[Installation, Session, int]]:
    """Open a transaction of one tenant, named by its short name."""
    with (
        opened_for(slug) as (installation, tenant_id),
        installation.database.tenant_session(tenant_id) as session,
    ):
        yield installation, session, tenant_id


def tenant_option(function: F) -> F:
    """Add `--tenant`, the company's short name."""
    option = click.option("--tenant", "tenant", required=True, help="Short name of the company.")
    return option(function)


def read_json(source: str) -> Any:
    """Read JSON from a file, or from standard input for `-`; say where it is wrong."""
    text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        problem = Problem("", f"{source} is not JSON: {error.msg} in line {error.lineno}.")
        raise ValidationFailedError([problem]) from None


def write_json(value: Any) -> None:
    """Write one JSON document to standard output."""
    click.echo(json.dumps(value, default=_plain, ensure_ascii=False, indent=2))


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, frozenset | set | tuple):
        return list(value)
    return str(value)
