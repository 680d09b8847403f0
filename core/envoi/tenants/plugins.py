"""Which plugins a company has: listing them, switching them on and off."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.errors import ConflictError, NotFoundError
from envoi.plugins import PluginInfo, Plugins
from envoi.tenants.models import EnabledPlugin
from envoi.tenants.plugin_uses import uses_of


class PluginState(StrEnum):
    """How a plugin stands with a company."""

    ALWAYS_ON = "always_on"
    ENABLED = "enabled"
    OFF = "off"
    LEFT_OUT = "left_out"

    @property
    def is_on(self) -> bool:
        """Whether the company has the plugin."""
        return self in (PluginState.ALWAYS_ON, PluginState.ENABLED)


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
            state=_state(info, name in enabled),
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


def switch_plugin(
    session: Session, plugins: Plugins, tenant_id: int, name: str, *, on: bool
) -> None:
    """Switch a plugin on or off for a company; doing it twice changes nothing.

    Raises:
        ConflictError: It is a part of Envoi itself, or a policy uses it.
    """
    info = plugins.infos.get(name)
    if info is None:
        raise NotFoundError(f"There is no working plugin {name}.")
    if not on:
        _refuse_needed(session, plugins, tenant_id, info)
    row = {"is_on": on, "enabled_at": func.now()}
    into = insert(table(EnabledPlugin)).values(tenant_id=tenant_id, name=name, **row)
    session.execute(into.on_conflict_do_update(index_elements=["tenant_id", "name"], set_=row))


def _refuse_needed(session: Session, plugins: Plugins, tenant_id: int, info: PluginInfo) -> None:
    if info.always_on:
        raise ConflictError(f"The plugin {info.name} is a part of Envoi itself and is always on.")
    if using := uses_of(session, plugins, tenant_id, info.name).policies:
        raise ConflictError(
            f"The plugin {info.name} is used by the policies {', '.join(using)}. Take its rules"
            " out of them, then switch it off."
        )


def _state(info: PluginInfo, enabled: bool) -> PluginState:
    if info.always_on:
        return PluginState.ALWAYS_ON
    return PluginState.ENABLED if enabled else PluginState.OFF
