"""The page of plugins, and switching one on or off for the company."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.delivery.gateway_list import list_gateways
from envoi.errors import ConfigurationError, NotFoundError, Problem, ValidationFailedError
from envoi.operations.plugin_errors import faults_of, lately
from envoi.plugin_settings import kept_settings, known_of, plugin_settings, save_settings
from envoi.plugins import KINDS
from envoi.tenants.plugin_uses import uses_of
from envoi.tenants.plugins import PluginState, list_plugins, switch_plugin
from envoi.types import CAPABILITIES, Descriptor, ProviderSpec, SettingsSpec
from envoi.webkit import Blueprint, current, page, permission, see_other, toast
from envoi.webkit.formats import translated
from envoi_web.model_forms import Field, kept_fields, read_settings

plugins_page = Blueprint("plugins_page", __name__, url_prefix="/settings/plugins")


@dataclass(frozen=True)
class Form:
    """A form of settings: its fields, and a sentence where what is stored cannot be used."""

    spec: SettingsSpec[Any]
    fields: Sequence[Field]
    unusable: str = ""


@plugins_page.get("/")
@permission("settings.plugins")
def index() -> Response:
    """List the installed plugins by what they bring."""
    with current.session() as session:
        found = list_plugins(session, current.plugins, current.tenant_id)
        went_wrong = lately(session, current.tenant_id)
    kinds: dict[str, list[object]] = {}
    for plugin in found:
        kinds.setdefault(_kind(plugin.provides, plugin.state), []).append(plugin)
    return page(
        "plugins_page/list.html",
        kinds=kinds,
        brings=lambda provides: " · ".join(dict.fromkeys(map(_words, provides))),
        went_wrong=went_wrong,
        crumbs=[(_("Settings"), ""), (_("Plugins"), "")],
    )


@plugins_page.get("/<name>")
@permission("settings.plugins")
def show(name: str) -> Response:
    """Show what a plugin brings, what is set of it, what its providers can do."""
    return _plugin(name)


@plugins_page.post("/<name>/settings")
@permission("settings.plugins")
def save(name: str) -> Response:
    """Store what a company sets of a plugin, in one of its forms."""
    form = request.form.get("form", "")
    try:
        with current.session() as session:
            own = current.plugins.for_tenant(session, current.tenant_id)
            spec = own.settings.get(form)
            if spec is None or own.owner("settings", form) != name:
                raise NotFoundError("There is no such plugin.")
            values = read_settings(spec.settings, request.form, spec.name)
            save_settings(session, current.settings, current.tenant_id, spec, values)
    except ValidationFailedError as error:
        placed = [Problem(f"{form}.{p.field}".rstrip("."), p.message) for p in error.problems]
        return _plugin(name, placed)
    toast(_("Settings saved."))
    return see_other(url_for("plugins_page.show", name=name))


def _plugin(name: str, problems: Sequence[Problem] = ()) -> Response:
    with current.session() as session:
        found = {p.name: p for p in list_plugins(session, current.plugins, current.tenant_id)}
        if name not in found:
            raise NotFoundError("There is no such plugin.")
        gateways = list_gateways(session, current.tenant_id)
        faults = faults_of(session, current.tenant_id, name)
        forms = _forms(session, name) if found[name].state.is_on else []
        is_asked = found[name].state is PluginState.ENABLED
        uses = uses_of(session, current.plugins, current.tenant_id, name) if is_asked else None
    providers = [
        provider
        for provider in current.plugins.providers.values()
        if current.plugins.owner("provider", provider.name) == name
    ]
    names = {provider.name for provider in providers}
    return page(
        "plugins_page/plugin.html",
        status=422 if problems else 200,
        forms=forms,
        uses=uses,
        problems=problems,
        errors={problem.field: problem.message for problem in problems},
        plugin=found[name],
        faults=faults,
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
        switch_plugin(session, current.plugins, current.tenant_id, name, on=True)
    toast(_("Plugin %(name)s is on.", name=name))
    return see_other(url_for("plugins_page.index"))


@plugins_page.post("/<name>/disable")
@permission("settings.plugins")
def disable(name: str) -> Response:
    """Switch a plugin off."""
    with current.session() as session:
        switch_plugin(session, current.plugins, current.tenant_id, name, on=False)
    toast(_("Plugin %(name)s is off.", name=name))
    return see_other(url_for("plugins_page.index"))


def _forms(session: Session, name: str) -> list[Form]:
    """The forms of a plugin's settings: as typed if this one was sent, or else as stored."""
    plugins = current.plugins
    return [
        _form(session, spec)
        for spec in plugins.settings.values()
        if plugins.owner("settings", spec.name) == name
    ]


def _form(session: Session, spec: SettingsSpec[Any]) -> Form:
    kept = kept_settings(session, current.tenant_id, spec)
    if request.form.get("form") == spec.name:
        values = read_settings(spec.settings, request.form, spec.name)
        return Form(spec, kept_fields(spec.settings, values, kept, spec.name))
    values = known_of(spec, kept)
    fields = kept_fields(spec.settings, values, kept, spec.name)
    try:
        plugin_settings(session, current.tenant_id, spec)
    except ConfigurationError as error:
        return Form(spec, fields, str(error))
    return Form(spec, fields)


def _words(what: str) -> str:
    """Say what a plugin brings by the label that marketers know."""
    for kind, (field, _type) in KINDS.items():
        found: Mapping[str, Descriptor] = getattr(current.plugins, field)
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
        "settings": _("Settings"),
        "customer panel": _("Part of a customer's page"),
        "API method": _("Method of the API"),
    }
    return str(kinds.get(what.rpartition(" ")[0], what))


def _capabilities(provider: ProviderSpec) -> list[tuple[str, bool]]:
    """Every capability in words, and whether the provider has it."""
    has = provider.abilities
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
