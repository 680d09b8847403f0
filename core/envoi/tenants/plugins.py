"""Which plugins a company has: listing them, switching them on and off."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.errors import ConflictError, NotFoundError
from envoi.plugins import BUILT_IN, Plugins
from envoi.policies.models import Policy
from envoi.tenants.models import EnabledPlugin


class PluginState(StrEnum):
    """How a plugin stands with a company."""

    BUILT_IN = "built_in"
    ENABLED = "enabled"
    OFF = "off"
    LEFT_OUT = "left_out"


@dataclass(frozen=True)
class InstalledPlugin:
    """A plugin as a company's administrator sees it; `reason` says why it was left out."""

    name: str
    distribution: str
    version: str
    state: PluginState
    provides: tuple[str, ...] = ()
    reason: str = ""


def list_plugins(session: Session, plugins: Plugins, tenant_id: int) -> list[InstalledPlugin]:
    """Return every installed plugin by name, also those that do not work."""
    enabled = plugins.enabled(session, tenant_id)
    working = [
        InstalledPlugin(
            name=name,
            distribution=info.distribution,
            version=info.version,
            state=_state(info.distribution, name in enabled),
            provides=info.provides,
        )
        for name, info in plugins.infos.items()
    ]
    broken = [
        InstalledPlugin(
            name=left.name,
            distribution=left.distribution,
            version="",
            state=PluginState.LEFT_OUT,
            reason=left.reason,
        )
        for left in plugins.left_out
    ]
    return sorted([*working, *broken], key=lambda plugin: plugin.name)


def enable_plugin(session: Session, plugins: Plugins, tenant_id: int, name: str) -> None:
    """Switch a plugin on for a company; doing it twice changes nothing."""
    _known(plugins, name)
    row = insert(table(EnabledPlugin)).values(tenant_id=tenant_id, name=name)
    session.execute(row.on_conflict_do_nothing())


def disable_plugin(session: Session, plugins: Plugins, tenant_id: int, name: str) -> None:
    """Switch a plugin off; raise `ConflictError` for ours and for one that a policy uses."""
    if _known(plugins, name) == BUILT_IN:
        raise ConflictError(f"The plugin {name} belongs to Envoi and is always on.")
    kinds = {
        kind
        for (what, kind), owner in plugins.owners.items()
        if what == "rule kind" and owner == name
    }
    using = [policy.name for policy in _policies_with(session, tenant_id, kinds)]
    if using:
        raise ConflictError(
            f"The plugin {name} is used by the policies {', '.join(using)}. Take its rules out"
            " of them, then switch it off."
        )
    c = table(EnabledPlugin).c
    mine = (c.tenant_id == tenant_id, c.name == name)
    session.execute(table(EnabledPlugin).delete().where(*mine))


def _known(plugins: Plugins, name: str) -> str:
    info = plugins.infos.get(name)
    if info is None:
        raise NotFoundError(f"There is no working plugin {name}.")
    return info.distribution


def _state(distribution: str, enabled: bool) -> PluginState:
    if distribution == BUILT_IN:
        return PluginState.BUILT_IN
    return PluginState.ENABLED if enabled else PluginState.OFF


def _policies_with(session: Session, tenant_id: int, kinds: set[str]) -> Iterable[Policy]:
    policy = table(Policy).c
    found = session.scalars(select(Policy).where(policy.tenant_id == tenant_id))
    return [p for p in found if kinds & {rule.get("kind") for rule in p.rules}]
