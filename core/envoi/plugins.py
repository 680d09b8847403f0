"""Loads plugins, collects what they register, and says which distribution is at fault.

The manager is built in a factory and handed on; nothing is loaded at import time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, TypeVar

import pluggy
import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi import hookspecs
from envoi.db import table
from envoi.errors import EnvoiError, PluginError
from envoi.tenants.models import EnabledPlugin
from envoi.types import ChannelSpec, Descriptor, ProviderSpec, RuleKindSpec, SegmentSourceSpec

log = structlog.get_logger()

GROUP = "envoi"
BUILT_IN = "envoi"
"""The distribution whose plugins are always on."""

D = TypeVar("D", bound=Descriptor)


@dataclass(frozen=True)
class PluginInfo:
    """A plugin that loaded: its entry point's name, distribution and version."""

    name: str
    distribution: str
    version: str
    provides: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """A plugin that is installed and does not work, with the reason for people."""

    name: str
    distribution: str
    reason: str


@dataclass(frozen=True)
class Plugins:
    """Everything that working plugins brought, by name."""

    manager: pluggy.PluginManager
    infos: Mapping[str, PluginInfo]
    left_out: tuple[LeftOut, ...]
    channels: Mapping[str, ChannelSpec] = field(default_factory=dict)
    providers: Mapping[str, ProviderSpec] = field(default_factory=dict)
    rule_kinds: Mapping[str, RuleKindSpec] = field(default_factory=dict)
    segment_sources: Mapping[str, SegmentSourceSpec] = field(default_factory=dict)
    owners: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def owner(self, kind: str, name: str) -> str:
        """Name the plugin that brought a descriptor, e.g. `owner("channel", "email")`."""
        return self.owners[kind, name]

    def enabled(self, session: Session, tenant_id: int) -> frozenset[str]:
        """Return the names of the plugins that are on for a tenant; ours always are."""
        plugin = table(EnabledPlugin).c
        query = select(plugin.name).where(plugin.tenant_id == tenant_id)
        chosen = set(session.scalars(query))
        built_in = {i.name for i in self.infos.values() if i.distribution == BUILT_IN}
        return frozenset(self.infos.keys() & (chosen | built_in))

    def for_tenant(self, session: Session, tenant_id: int) -> Plugins:
        """Return the view of a tenant: only what its enabled plugins bring."""
        on = self.enabled(session, tenant_id)

        def visible(kind: str, found: Mapping[str, D]) -> Mapping[str, D]:
            return {n: d for n, d in found.items() if self.owners[kind, n] in on}

        return Plugins(
            manager=self.manager,
            infos=self.infos,
            left_out=self.left_out,
            channels=visible("channel", self.channels),
            providers=visible("provider", self.providers),
            rule_kinds=visible("rule kind", self.rule_kinds),
            segment_sources=visible("segment source", self.segment_sources),
            owners=self.owners,
        )


def load_plugins(extra: Iterable[tuple[str, object]] = ()) -> Plugins:
    """Load every plugin of the entry-point group, leave broken ones out, and collect.

    Args:
        extra: Pairs of name and plugin object that are registered besides, for tests.
    """
    loader = _Loader()
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        loader.load(entry)
    for name, plugin in extra:
        loader.register(name, "unpackaged", "0", plugin)
    return loader.collect()


class _Loader:
    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(GROUP)
        self.manager.add_hookspecs(hookspecs)
        self.infos: dict[str, PluginInfo] = {}
        self.left_out: list[LeftOut] = []

    def load(self, entry: EntryPoint) -> None:
        distribution, version = _source(entry)
        try:
            plugin = entry.load()
        except Exception as error:  # noqa: BLE001 (a plugin may fail in any way; the start goes on)
            self._leave_out(entry.name, distribution, f"it cannot be imported: {error!r}")
            return
        self.register(entry.name, distribution, version, plugin)

    def register(self, name: str, distribution: str, version: str, plugin: object) -> None:
        try:
            self.manager.register(plugin, name=name)
            # A misspelt hook is silently ignored unless one asks.
            self.manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            self._forget(name)
            self._leave_out(name, distribution, str(error))
            return
        self.infos[name] = PluginInfo(name, distribution, version)

    def collect(self) -> Plugins:
        owners: dict[tuple[str, str], str] = {}
        found = {
            kind: self._descriptors(kind, hook, wanted, owners)
            for kind, hook, wanted in (
                ("channel", "register_channels", ChannelSpec),
                ("provider", "register_providers", ProviderSpec),
                ("rule kind", "register_rule_kinds", RuleKindSpec),
                ("segment source", "register_segment_sources", SegmentSourceSpec),
            )
        }
        infos = {
            name: PluginInfo(name, i.distribution, i.version, _provided(name, owners))
            for name, i in self.infos.items()
        }
        return Plugins(
            manager=self.manager,
            infos=MappingProxyType(infos),
            left_out=tuple(self.left_out),
            channels=found["channel"],
            providers=found["provider"],
            rule_kinds=found["rule kind"],
            segment_sources=found["segment source"],
            owners=MappingProxyType(owners),
        )

    def _descriptors(
        self, kind: str, hook: str, wanted: type[Descriptor], owners: dict[tuple[str, str], str]
    ) -> Mapping[str, Any]:
        found: dict[str, Descriptor] = {}
        for name, call in self._implementations(hook):
            try:
                mine = _checked(kind, wanted, call(), found, owners)
            except Exception as error:  # noqa: BLE001 (as above: report, leave out, go on)
                self._withdraw(name, str(error), found, owners)
                continue
            for descriptor in mine:
                found[descriptor.name] = descriptor
                owners[kind, descriptor.name] = name
        ordered = sorted(found.values(), key=lambda d: (getattr(d, "order", 100), d.name))
        return MappingProxyType({d.name: d for d in ordered})

    def _implementations(self, hook: str) -> list[tuple[str, Callable[[], Iterable[Any]]]]:
        implementations = getattr(self.manager.hook, hook).get_hookimpls()
        pairs = [
            (i.plugin_name, i.function) for i in implementations if i.plugin_name in self.infos
        ]
        # Ours come first, so that a partner's clash is the partner's fault.
        return sorted(pairs, key=lambda p: (self.infos[p[0]].distribution != BUILT_IN, p[0]))

    def _withdraw(
        self,
        name: str,
        reason: str,
        found: dict[str, Descriptor],
        owners: dict[tuple[str, str], str],
    ) -> None:
        info = self.infos[name]
        self._forget(name)
        for key in [k for k, owner in owners.items() if owner == name]:
            del owners[key]
            found.pop(key[1], None)
        self._leave_out(name, info.distribution, reason)

    def _forget(self, name: str) -> None:
        self.infos.pop(name, None)
        if self.manager.has_plugin(name):
            self.manager.unregister(name=name)

    def _leave_out(self, name: str, distribution: str, reason: str) -> None:
        log.error("plugin_left_out", plugin=name, distribution=distribution, reason=reason)
        self.left_out.append(LeftOut(name, distribution, reason))


def _checked(
    kind: str,
    wanted: type[D],
    descriptors: Iterable[Any],
    found: Mapping[str, Descriptor],
    owners: Mapping[tuple[str, str], str],
) -> list[D]:
    mine: dict[str, D] = {}
    for descriptor in descriptors:
        if not isinstance(descriptor, wanted):
            raise EnvoiError(
                f"it registers {descriptor!r} as {kind}, which must be a {wanted.__name__}"
            )
        if descriptor.name in mine:
            raise EnvoiError(f"it registers the {kind} {descriptor.name!r} twice")
        if descriptor.name in found:
            other = owners[kind, descriptor.name]
            raise EnvoiError(
                f"the {kind} {descriptor.name!r} is already there, from plugin {other}"
            )
        mine[descriptor.name] = descriptor
    return list(mine.values())


def _provided(name: str, owners: Mapping[tuple[str, str], str]) -> tuple[str, ...]:
    return tuple(f"{kind} {what}" for (kind, what), owner in owners.items() if owner == name)


def _source(entry: EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "0")


def fence(plugins: Plugins, kind: str, name: str, call: Callable[[], Any]) -> Any:
    """Call into a plugin; whatever it raises becomes a `PluginError` that names it."""
    try:
        return call()
    except EnvoiError:
        raise
    except Exception as error:
        plugin = plugins.owners.get((kind, name), name)
        raise PluginError(plugin, f"{kind} {name} failed: {error!r}") from error
