"""What a company sets of a plugin: stored with its secrets sealed, and read by the plugin."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel
from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.errors import ConfigurationError
from envoi.sealed import Kept, completed, seal
from envoi.secrets import SecretBox
from envoi.settings import Settings
from envoi.tenants.models import PluginSettings
from envoi.types import SettingsSpec

M = TypeVar("M", bound=BaseModel)

_NONE: Mapping[str, Any] = MappingProxyType({})
_boxes: list[SecretBox] = []


def open_with(settings: Settings) -> None:
    """Let plugins of this process read secrets with the installation's keys."""
    _boxes[:] = [SecretBox(settings)]


def plugin_settings(session: Session | Connection, tenant_id: int, spec: SettingsSpec[M]) -> M:
    """Return what a company has set; the usual values where it has set nothing.

    Raises:
        ConfigurationError: Something must be set and is not, or no longer suits the plugin.
    """
    kept = kept_settings(session, tenant_id, spec)
    try:
        return spec.settings.model_validate(known_of(spec, kept, _opened(kept)))
    except ValueError:
        raise ConfigurationError(
            f"The settings of {spec.label} are missing, or no longer suit this version of it."
            " Enter them in Settings, Plugins."
        ) from None


def kept_settings(
    session: Session | Connection, tenant_id: int, spec: SettingsSpec[Any]
) -> Kept | None:
    """Return what a company has stored, if anything."""
    c = table(PluginSettings).c
    query = select(c.settings, c.secrets).where(c.tenant_id == tenant_id, c.name == spec.name)
    row = session.execute(query).one_or_none()
    return Kept(row.settings, row.secrets, _place(tenant_id, spec)) if row else None


def known_of(
    spec: SettingsSpec[Any], kept: Kept | None, secrets: Mapping[str, Any] = _NONE
) -> dict[str, Any]:
    """Return the stored values of fields that the plugin still has."""
    stored = {**(kept.settings if kept else {}), **secrets}
    return {name: value for name, value in stored.items() if name in spec.settings.model_fields}


def save_settings(
    session: Session,
    settings: Settings,
    tenant_id: int,
    spec: SettingsSpec[Any],
    values: Mapping[str, Any],
) -> None:
    """Store what an administrator has entered; a secret that is left out stays as it was.

    Raises:
        ValidationFailedError: The values do not suit; every problem is named.
    """
    box = SecretBox(settings)
    filled = completed(spec.settings, box, kept_settings(session, tenant_id, spec), values)
    sealed = seal(box, filled, _place(tenant_id, spec))
    row = {"settings": dict(sealed.settings), "secrets": sealed.secrets, "changed_at": func.now()}
    into = insert(table(PluginSettings)).values(tenant_id=tenant_id, name=spec.name, **row)
    session.execute(into.on_conflict_do_update(index_elements=["tenant_id", "name"], set_=row))


def _opened(kept: Kept | None) -> Mapping[str, Any]:
    if kept is None or not kept.secrets:
        return _NONE
    if not _boxes:
        raise ConfigurationError("This process has no keys to open the settings of plugins with.")
    return kept.opened(_boxes[0])


def _place(tenant_id: int, spec: SettingsSpec[Any]) -> str:
    return f"{tenant_id}:plugin:{spec.name}:secrets"
