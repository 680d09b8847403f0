"""Loads plugins, collects what they register, and says which distribution is at fault.

The manager is built in a factory and handed on; nothing is loaded at import time. Hooks are
called here and nowhere else, so that whatever a plugin does wrong is told with its name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy
import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi import hookspecs
from envoi.calls import calling
from envoi.db import table
from envoi.errors import EnvoiError, PluginError
from envoi.tenants.models import EnabledPlugin
from envoi.types import (
    ApiMethod,
    ChannelSpec,
    CustomerPanel,
    Descriptor,
    LimitSpec,
    MacroSpec,
    MenuItem,
    ProviderSpec,
    RuleKindSpec,
    SegmentSourceSpec,
    SettingsSpec,
)

if TYPE_CHECKING:
    from dramatiq import Broker
    from flask import Blueprint

log = structlog.get_logger()

GROUP = "envoi"
BUILT_IN = "envoi"
"""The distribution whose plugins are on until a company switches them off."""
UNPACKAGED = "unpackaged"
"""Stands for the distribution of plugin objects that are given, not installed; on like ours."""

D = TypeVar("D", bound=Descriptor)
Key = tuple[str, str]
"""What a descriptor is found by: its kind and its name, e.g. `("channel", "email")`."""

KINDS: Mapping[str, tuple[str, type[Descriptor]]] = {
    "channel": ("channels", ChannelSpec),
    "provider": ("providers", ProviderSpec),
    "rule kind": ("rule_kinds", RuleKindSpec),
    "segment source": ("segment_sources", SegmentSourceSpec),
    "limit": ("limits", LimitSpec),
    "macro": ("macros", MacroSpec),
    "menu item": ("menu_items", MenuItem),
    "settings": ("settings", SettingsSpec),
    "customer panel": ("customer_panels", CustomerPanel),
    "API method": ("api_methods", ApiMethod),
}
"""Each kind of descriptor with its field of `Plugins`; `register_` before it is the hook."""


Observer = Callable[..., None]
"""Called with a `batch` of `envoi.sending`."""


@dataclass(frozen=True)
class PluginInfo:
    """A plugin that loaded: its entry point's name, distribution and version."""

    name: str
    distribution: str
    version: str
    provides: tuple[str, ...] = ()

    @property
    def starts_on(self) -> bool:
        """True for plugins that no company has to switch on."""
        return self.distribution in (BUILT_IN, UNPACKAGED)

    @property
    def always_on(self) -> bool:
        """True for the pages and the work of Envoi itself: they bring nothing one could choose."""
        return self.starts_on and not self.provides


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
    limits: Mapping[str, LimitSpec] = field(default_factory=dict)
    macros: Mapping[str, MacroSpec] = field(default_factory=dict)
    menu_items: Mapping[str, MenuItem] = field(default_factory=dict)
    settings: Mapping[str, SettingsSpec[Any]] = field(default_factory=dict)
    customer_panels: Mapping[str, CustomerPanel] = field(default_factory=dict)
    api_methods: Mapping[str, ApiMethod] = field(default_factory=dict)
    owners: Mapping[Key, str] = field(default_factory=dict)

    @property
    def push_services(self) -> frozenset[str]:
        """The push services whose devices some provider reaches."""
        return frozenset(spec.service for spec in self.providers.values() if spec.service)

    def owner(self, kind: str, name: str) -> str:
        """Name the plugin that brought a descriptor, e.g. `owner("channel", "email")`."""
        return self.owners[kind, name]

    def enabled(self, session: Session, tenant_id: int) -> frozenset[str]:
        """Return the names of the plugins that are on for a tenant."""
        plugin = table(EnabledPlugin).c
        query = select(plugin.name, plugin.is_on).where(plugin.tenant_id == tenant_id)
        return self.on({row.name: row.is_on for row in session.execute(query)})

    def on(self, switched: Mapping[str, bool]) -> frozenset[str]:
        """Return the names of the plugins that are on where these were switched on or off."""
        return frozenset(
            name
            for name, info in self.infos.items()
            if info.always_on or switched.get(name, info.starts_on)
        )

    def for_tenant(self, session: Session, tenant_id: int) -> Plugins:
        """Return the view of a tenant: only what its enabled plugins bring."""
        on = self.enabled(session, tenant_id)

        def visible(kind: str, field_name: str) -> dict[str, Any]:
            found = getattr(self, field_name).items()
            return {name: spec for name, spec in found if self.owners[kind, name] in on}

        mine: dict[str, Any] = {name: visible(kind, name) for kind, (name, _) in KINDS.items()}
        return replace(self, **mine)

    def blueprints(self) -> list[tuple[PluginInfo, Blueprint]]:
        """Return every plugin's pages, ours first; a partner's broken ones are left out."""
        found: dict[str, tuple[PluginInfo, Blueprint]] = {}
        for info, call in self._calls("register_blueprints"):
            with _reported(info):
                mine = {blueprint.name: (info, blueprint) for blueprint in call()}
                for name in mine.keys() & found.keys():
                    other = found[name][0].name
                    raise EnvoiError(f"plugin {other} has already brought the pages {name!r}")
                found |= mine
        return list(found.values())

    def register_actors(self, broker: Broker) -> None:
        """Bind every plugin's background jobs to the queue, ours first."""
        for info, call in self._calls("register_actors"):
            with _reported(info):
                call(broker=broker)

    def migrations(self) -> list[tuple[PluginInfo, Sequence[Path]]]:
        """Return every plugin's SQL files for tables of its own, in their order."""
        found: list[tuple[PluginInfo, Sequence[Path]]] = []
        for info, call in self._calls("register_migrations"):
            with _reported(info):
                found.append((info, list(call())))
        return found

    def observers(self, on: Collection[str]) -> list[tuple[str, Observer]]:
        """Return who of these plugins wants to know what became of messages, by name."""
        return [
            (info.name, call) for info, call in self._calls("delivery_recorded") if info.name in on
        ]

    def _calls(self, hook: str) -> list[tuple[PluginInfo, Callable[..., Any]]]:
        return [
            (info, call)
            for info in self.infos.values()
            for call in _calls(self.manager, info.name, hook)
        ]


def load_plugins(extra: Iterable[tuple[str, object]] = ()) -> Plugins:
    """Load every plugin of the entry-point group, leave broken ones out, and collect.

    Args:
        extra: Pairs of name and plugin object that are registered besides, for tests.
    """
    loader = _Loader()
    # Ours come first, so that a partner's clash is the partner's fault.
    entries = [(*_source(entry), entry) for entry in entry_points(group=GROUP)]
    for distribution, version, entry in sorted(
        entries, key=lambda e: (e[0] != BUILT_IN, e[2].name)
    ):
        loader.load(entry, distribution, version)
    for name, plugin in extra:
        loader.register(PluginInfo(name, UNPACKAGED, "0"), plugin)
    return loader.collect()


class _Loader:
    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(GROUP)
        self.manager.add_hookspecs(hookspecs)
        self.infos: dict[str, PluginInfo] = {}
        self.left_out: list[LeftOut] = []

    def load(self, entry: EntryPoint, distribution: str, version: str) -> None:
        info = PluginInfo(entry.name, distribution, version)
        try:
            plugin = entry.load()
        except Exception as error:  # noqa: BLE001 (a plugin may fail in any way; the start goes on)
            self._leave_out(info, f"it cannot be imported: {error!r}")
            return
        self.register(info, plugin)

    def register(self, info: PluginInfo, plugin: object) -> None:
        if clash := self.infos.get(info.name):
            self._leave_out(info, f"{clash.distribution} has already brought a plugin of this name")
            return
        try:
            self.manager.register(plugin, name=info.name)
            # A misspelt hook is silently ignored unless one asks.
            self.manager.check_pending()
        except Exception as error:  # noqa: BLE001 (as above)
            self._leave_out(info, f"it cannot be registered: {error}")
            return
        self.infos[info.name] = info

    def collect(self) -> Plugins:
        """Take what each plugin brings, all of it or, when anything is wrong, nothing."""
        found: dict[Key, Descriptor] = {}
        owners: dict[Key, str] = {}
        for info in tuple(self.infos.values()):
            try:
                mine = self._brought_by(info, owners)
            except EnvoiError as error:
                self._leave_out(info, str(error))
                continue
            found |= mine
            owners |= dict.fromkeys(mine, info.name)
            provides = tuple(f"{kind} {name}" for kind, name in mine)
            self.infos[info.name] = replace(info, provides=provides)
        return Plugins(
            manager=self.manager,
            infos=MappingProxyType(self.infos),
            left_out=tuple(self.left_out),
            owners=MappingProxyType(owners),
            **{name: _of_kind(kind, found) for kind, (name, _) in KINDS.items()},
        )

    def _brought_by(self, info: PluginInfo, owners: Mapping[Key, str]) -> dict[Key, Descriptor]:
        mine: dict[Key, Descriptor] = {}
        for kind, (field_name, wanted) in KINDS.items():
            hook = f"register_{field_name}"
            for call in _calls(self.manager, info.name, hook):
                for descriptor in _answer(hook, call, wanted):
                    key = kind, descriptor.name
                    if key in mine:
                        raise EnvoiError(f"it brings the {kind} {key[1]!r} twice")
                    if key in owners:
                        other = owners[key]
                        raise EnvoiError(
                            f"plugin {other} has already brought the {kind} {key[1]!r}"
                        )
                    mine[key] = descriptor
        return mine

    def _leave_out(self, info: PluginInfo, reason: str) -> None:
        if self.infos.get(info.name) == info:
            del self.infos[info.name]
        if info.name not in self.infos and self.manager.has_plugin(info.name):
            self.manager.unregister(name=info.name)
        self.left_out.append(LeftOut(info.name, info.distribution, reason))
        _report(info, reason)


def _calls(manager: pluggy.PluginManager, plugin: str, hook: str) -> list[Callable[..., Any]]:
    """A plugin's implementations of a hook; each is called with the arguments it declares."""

    def caller(implementation: pluggy.HookImpl) -> Callable[..., Any]:
        wanted = implementation.argnames
        return lambda **given: implementation.function(*(given[name] for name in wanted))

    implementations = getattr(manager.hook, hook).get_hookimpls()
    return [caller(i) for i in implementations if i.plugin_name == plugin]


def _answer(hook: str, call: Callable[[], Iterable[Any]], wanted: type[D]) -> list[D]:
    try:
        brought = list(call())
    except Exception as error:
        raise EnvoiError(f"{hook} failed: {error!r}") from error
    for descriptor in brought:
        if not isinstance(descriptor, wanted):
            raise EnvoiError(f"{hook} returned {descriptor!r}, which is no {wanted.__name__}")
    return brought


def _of_kind(kind: str, found: Mapping[Key, Descriptor]) -> Mapping[str, Any]:
    mine = [descriptor for (its_kind, _), descriptor in found.items() if its_kind == kind]
    ordered = sorted(mine, key=lambda d: (getattr(d, "order", 100), d.name))
    return MappingProxyType({d.name: d for d in ordered})


def _source(entry: EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "0")


@contextmanager
def _reported(info: PluginInfo) -> Iterator[None]:
    """Report what a partner's plugin does wrong and go on; one of ours stops the start."""
    try:
        yield
    except Exception as error:
        if info.distribution == BUILT_IN:
            raise PluginError(info.name, f"it cannot be used: {error!r}") from error
        _report(info, repr(error))


def _report(info: PluginInfo, reason: str) -> None:
    log.error("plugin_left_out", plugin=info.name, distribution=info.distribution, reason=reason)


def fence(plugins: Plugins, kind: str, name: str, call: Callable[[], Any]) -> Any:
    """Call into a plugin; whatever it raises becomes a `PluginError` that names it.

    That holds for `sys.exit` as well: a plugin does not end the thread that calls it.
    """
    try:
        with calling(kind, name):
            return call()
    except (EnvoiError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise blame(plugins, kind, name, error) from error


def blame(plugins: Plugins, kind: str, name: str, error: BaseException) -> PluginError:
    """Say which plugin raised what it must not."""
    return accuse(plugins, kind, name, f"failed: {error!r}")


def accuse(plugins: Plugins, kind: str, name: str, did: str) -> PluginError:
    """Say which plugin did what it must not."""
    place = f"{kind} {name}"
    return PluginError(plugins.owners.get((kind, name), name), f"{place} {did}", place=place)
