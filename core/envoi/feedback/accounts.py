"""The gateways that webhooks belong to, as this process saw them a moment ago."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from pydantic import BaseModel, SecretStr
from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.db import Database, table
from envoi.delivery.gateways import settings_of
from envoi.delivery.models import Gateway
from envoi.plugins import Plugins
from envoi.settings import Settings
from envoi.tenants.models import InboundRoute
from envoi.types import ProviderSpec

KIND = "webhook"
SEEN_SECONDS = 2.0
"""So long a gateway is taken to be as it was: a change holds for webhooks after that."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """Whose a webhook is, and what reads it; while the company has no such plugin, nothing does.

    `values` are given to the provider's own function, where it has one.
    """

    tenant_id: int
    gateway_id: int
    version: int = 0
    spec: ProviderSpec | None = None
    values: BaseModel | None = None
    is_read: bool = True

    def without_secrets(self, raw: bytes) -> bytes:
        """What came, without the gateway's own secrets: some providers send them along."""
        fields = (value for _, value in self.values or ())
        for secret in (f.get_secret_value() for f in fields if isinstance(f, SecretStr)):
            raw = raw.replace(secret.encode(), b"***") if secret else raw
        return raw


class Accounts:
    """Finds accounts by the keys in addresses; a secret is decrypted once for each version."""

    def __init__(
        self,
        database: Database,
        plugins: Plugins,
        settings: Settings,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._database, self._plugins, self._settings = database, plugins, settings
        self._clock = clock
        self._seen: dict[str, tuple[float, Account]] = {}

    def of(self, key: str) -> Account | None:
        """The account that an address belongs to, if there is one."""
        seen_at, seen = self._seen.get(key, (0.0, None))
        if seen is not None and self._clock() - seen_at < SEEN_SECONDS:
            return seen
        # No address holds NUL, and no database can be asked for it.
        found = None if "\0" in key else self._look(key, seen)
        if found is None:
            self._seen.pop(key, None)
        else:
            self._seen[key] = self._clock(), found
        return found

    def _look(self, key: str, seen: Account | None) -> Account | None:
        r = table(InboundRoute).c
        query = select(r.tenant_id, r.ref).where(r.key == key, r.kind == KIND)
        with self._database.system_session() as session:
            route = session.execute(query).one_or_none()
        if route is None:
            return None
        with self._database.tenant_session(route.tenant_id) as session:
            return self._account(session, route.tenant_id, route.ref, seen)

    def _account(
        self, session: Session, tenant_id: int, gateway_id: int, seen: Account | None
    ) -> Account:
        gateway = session.get(Gateway, (tenant_id, gateway_id))
        plugins = self._plugins.for_tenant(session, tenant_id)
        spec = plugins.providers.get(gateway.provider) if gateway else None
        if gateway is None or spec is None:
            is_read = gateway is None
            return Account(tenant_id=tenant_id, gateway_id=gateway_id, is_read=is_read)
        if seen is not None and seen.version == gateway.version and seen.spec is spec:
            return seen
        wanted = spec.webhook is not None
        return Account(
            tenant_id=tenant_id,
            gateway_id=gateway_id,
            version=gateway.version,
            spec=spec,
            values=settings_of(session, plugins, self._settings, gateway) if wanted else None,
        )
