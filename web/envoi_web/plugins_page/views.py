"""The page of plugins, and switching one on or off for the company."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, url_for
from flask_babel import gettext as _

from envoi.delivery.gateway_list import list_gateways
from envoi.errors import NotFoundError
from envoi.tenants.plugins import PluginState, disable_plugin, enable_plugin, list_plugins
from envoi.types import CAPABILITIES, Descriptor, ProviderSpec
from envoi.webkit import Blueprint, current, page, permission, see_other, toast
from envoi.webkit.formats import translated

plugins_page = Blueprint("plugins_page", __name__, url_prefix="/settings/plugins")


@plugins_page.get("/")
@permission("settings.plugins")
def index() -> Response:
    """List the installed plugins by what they bring."""
    with current.session() as session:
        found = list_plugins(session, current.plugins, current.tenant_id)
    kinds: dict[str, list[object]] = {}
    for plugin in found:
        kinds.setdefault(_kind(plugin.provides, plugin.state), []).append(plugin)
    return page(
        "plugins_page/list.html",
        kinds=kinds,
        brings=_words,
        crumbs=[(_("Settings"), ""), (_("Plugins"), "")],
    )


@plugins_page.get("/<name>")
@permission("settings.plugins")
def show(name: str) -> Response:
    """Show what a plugin brings, what its providers can do, and how their accounts fare."""
    with current.session() as session:
        found = {p.name: p for p in list_plugins(session, current.plugins, current.tenant_id)}
        if name not in found:
            raise NotFoundError("There is no such plugin.")
        gateways = list_gateways(session, current.tenant_id)
    providers = [
        provider
        for provider in current.plugins.providers.values()
        if current.plugins.owner("provider", provider.name) == name
    ]
    names = {provider.name for provider in providers}
    return page(
        "plugins_page/plugin.html",
        plugin=found[name],
        parts=[(_kind_words(what), _words(what)) for what in found[name].provides],
        providers=[(provider, _capabilities(provider)) for provider in providers],
        gateways=[listed for listed in gateways if listed.gateway.provider in names],
        crumbs=[
            (_("Settings"), ""),
            (_("Plugins"), url_for("plugins_page.index")),
            (name, ""),
        ],
    )


@plugins_page.post("/<name>/enable")
@permission("settings.plugins")
def enable(name: str) -> Response:
    """Switch a plugin on."""
    with current.session() as session:
        enable_plugin(session, current.plugins, current.tenant_id, name)
    toast(_("Plugin %(name)s is on.", name=name))
    return see_other(url_for("plugins_page.index"))


@plugins_page.post("/<name>/disable")
@permission("settings.plugins")
def disable(name: str) -> Response:
    """Switch a plugin off."""
    with current.session() as session:
        disable_plugin(session, current.plugins, current.tenant_id, name)
    toast(_("Plugin %(name)s is off.", name=name))
    return see_other(url_for("plugins_page.index"))


def _words(what: str) -> str:
    """Say what a plugin brings by the label that marketers know."""
    plugins = current.plugins
    kinds: dict[str, Mapping[str, Descriptor]] = {
        "channel": plugins.channels,
        "provider": plugins.providers,
        "rule kind": plugins.rule_kinds,
        "segment source": plugins.segment_sources,
        "limit": plugins.limits,
        "macro": plugins.macros,
        "menu item": plugins.menu_items,
    }
    for kind, found in kinds.items():
        name = what.removeprefix(f"{kind} ")
        if what != name and name in found:
            return str(translated(found[name].label))
    return what


def _kind_words(what: str) -> str:
    """Say what kind of thing a plugin brings."""
    kinds = {
        "channel": _("Channel"),
        "provider": _("Provider"),
        "rule kind": _("Rule of policies"),
        "segment source": _("Conditions of segments"),
        "limit": _("Limit of gateways"),
        "macro": _("Macro of messages"),
        "menu item": _("Page"),
    }
    return str(kinds.get(what.rpartition(" ")[0], what))


def _capabilities(provider: ProviderSpec) -> list[tuple[str, bool]]:
    """Every capability in words, and whether the provider has it."""
    has = provider.capabilities
    return [(translated(words), name in has) for name, words in CAPABILITIES.items()]


def _kind(provides: tuple[str, ...], state: PluginState) -> str:
    """Put a plugin under the first thing that it brings."""
    if state is PluginState.LEFT_OUT:
        return str(_("Left out"))
    headings = {
        "macro": _("Modules"),
        "channel": _("Channels"),
        "provider": _("Channels"),
        "rule kind": _("Policies"),
        "segment source": _("Segments"),
        "limit": _("Gateways"),
    }
    found = [heading for kind, heading in headings.items() if _brings(provides, kind)]
    return str(found[0] if found else _("Other"))


def _brings(provides: tuple[str, ...], kind: str) -> bool:
    return any(what.startswith(f"{kind} ") for what in provides)
