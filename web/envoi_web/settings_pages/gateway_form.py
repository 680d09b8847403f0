"""The form of a gateway: what every one has, the provider's own settings, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.delivery.gateway_list import runs_using, save_gateway
from envoi.delivery.gateways import (
    Account,
    get_gateway,
    secret_fields,
    secrets_set,
    settings_of,
)
from envoi.delivery.limits import set_limits
from envoi.delivery.models import Gateway
from envoi.errors import ConflictError, EnvoiError, NotFoundError, Problem, ValidationFailedError
from envoi.plugins import Plugins
from envoi.types import DnsRecord, ProviderSpec
from envoi.webkit import current, page, permission, see_other, toast
from envoi.webkit.formats import translated
from envoi_web.model_forms import (
    Field,
    fields_of,
    read_pairs,
    read_settings,
    shown_number,
    shown_pairs,
)
from envoi_web.settings_pages.blueprint import settings

MOST_CONNECTIONS = 1_000


@dataclass(frozen=True)
class Tried:
    """What a test of the connection brought: a sentence where it failed, and the raw answer."""

    ok: bool
    words: str
    raw: str


@dataclass(frozen=True)
class Typed:
    """What stands in the form's fields."""

    name: str
    is_on: bool
    may_stand_in: bool
    most_connections: str
    values: Mapping[str, Any]
    limits: Mapping[str, Any]


@settings.get("/gateways/new")
@permission("settings.plugins")
def new_gateway() -> Response:
    """Show the form of a new gateway."""
    with current.session() as session:
        plugins = current.plugins.for_tenant(session, current.tenant_id)
        spec = _chosen_provider(plugins, request.args.get("provider", ""))
        empty = Typed(str(translated(spec.label)), True, True, "", {}, {})
        return _form(session, plugins, spec, None, empty)


@settings.post("/gateways/new")
@permission("settings.plugins")
def create_gateway() -> Response:
    """Set up a gateway."""
    return _save(None)


@settings.get("/gateways/<int:gateway_id>")
@permission("settings.plugins")
def gateway(gateway_id: int) -> Response:
    """Show a gateway's settings; secrets are never shown again."""
    with current.session() as session:
        return show_gateway(session, gateway_id)


@settings.post("/gateways/<int:gateway_id>")
@permission("settings.plugins")
def change_gateway(gateway_id: int) -> Response:
    """Change a gateway."""
    return _save(gateway_id)


def show_gateway(session: Session, gateway_id: int, tried: Tried | None = None) -> Response:
    """Answer with a gateway as it is stored."""
    plugins = current.plugins.for_tenant(session, current.tenant_id)
    found = get_gateway(session, current.tenant_id, gateway_id)
    typed = Typed(
        name=found.name,
        is_on=found.is_on,
        may_stand_in=found.may_stand_in,
        most_connections=str(found.most_connections or ""),
        values=found.settings,
        limits={name: shown_number(value) for name, value in found.limits.items()},
    )
    return _form(session, plugins, plugins.providers.get(found.provider), found, typed, tried=tried)


def _save(gateway_id: int | None) -> Response:
    with current.session() as session:
        plugins = current.plugins.for_tenant(session, current.tenant_id)
        found = None if gateway_id is None else get_gateway(session, current.tenant_id, gateway_id)
        spec = _chosen_provider(
            plugins, found.provider if found else request.form.get("provider", "")
        )
        typed = _typed(plugins, spec)
        try:
            # What a savepoint holds is taken back when only the limits do not suit.
            with session.begin_nested():
                saved = _store(session, plugins, spec, gateway_id, typed)
        except (ValidationFailedError, ConflictError) as error:
            problems = _problems(error)
            session.expire_all()
            return _form(session, plugins, spec, found, typed, problems)
    toast(_("Gateway saved."))
    return see_other(url_for("settings.gateway", gateway_id=saved.id))


def _store(
    session: Session,
    plugins: Plugins,
    spec: ProviderSpec,
    gateway_id: int | None,
    typed: Typed,
) -> Gateway:
    account = Account(
        name=typed.name.strip(),
        provider=spec.name,
        values=typed.values,
        is_on=typed.is_on,
        may_stand_in=typed.may_stand_in,
        most_connections=_connections(typed.most_connections),
    )
    version = request.form.get("version", 0, type=int)
    installation = (current.plugins, current.settings, current.tenant_id)
    saved = save_gateway(session, *installation, gateway_id, version, account)
    set_limits(session, plugins, current.tenant_id, saved.id, typed.limits)
    session.flush()
    return saved


def _typed(plugins: Plugins, spec: ProviderSpec) -> Typed:
    form = request.form
    limits: dict[str, Any] = {
        "per_second": form.get("per_second") or None,
        "per_minute": form.get("per_minute") or None,
        "domains": read_pairs(form.get("domains", "")),
        "plugins": {
            name: read_settings(limit.settings, form, f"plugins.{name}")
            for name, limit in plugins.limits.items()
            if form.get(f"limit.{name}")
        },
    }
    return Typed(
        name=form.get("name", ""),
        is_on=form.get("is_on") == "1",
        may_stand_in=form.get("may_stand_in") == "1",
        most_connections=form.get("most_connections", "").strip(),
        values=read_settings(spec.settings, form, "settings"),
        limits=limits,
    )


def _connections(typed: str) -> int:
    if not typed:
        return 0
    if not typed.isascii() or not typed.isdigit() or not 1 <= int(typed[:9]) <= MOST_CONNECTIONS:
        problem = "Write a number from 1 to 1,000, or nothing for no limit."
        raise ValidationFailedError([Problem("most_connections", problem)])
    return int(typed)


def _problems(error: ValidationFailedError | ConflictError) -> Sequence[Problem]:
    """Put the provider's own problems at the fields of its part of the form."""
    if isinstance(error, ConflictError):
        return [Problem("", str(error))]
    known = ("name", "most_connections", "provider", "per_second", "per_minute", "domains")
    return [
        problem
        if not problem.field or problem.field.split(".")[0] in (*known, "plugins")
        else Problem(f"settings.{problem.field}", problem.message)
        for problem in error.problems
    ]


def _chosen_provider(plugins: Plugins, name: str) -> ProviderSpec:
    spec = plugins.providers.get(name) or next(iter(plugins.providers.values()), None)
    if spec is None or (name and name not in plugins.providers):
        raise NotFoundError("No enabled plugin brings this provider. Enable one in Plugins.")
    return spec


def _form(
    session: Session,
    plugins: Plugins,
    spec: ProviderSpec | None,
    found: Gateway | None,
    typed: Typed,
    problems: Sequence[Problem] = (),
    tried: Tried | None = None,
) -> Response:
    return page(
        "settings/gateway.html",
        status=422 if problems else 200,
        gateway=found,
        version=request.form.get("version", found.version if found else 0),
        spec=spec,
        providers=[(p.name, translated(p.label)) for p in plugins.providers.values()],
        typed=typed,
        fields=_fields(spec, found, typed),
        domains=shown_pairs(typed.limits.get("domains", {})),
        limits=_limits(plugins, typed),
        records=_records(session, spec, found),
        used_by=len(runs_using(session, current.tenant_id, found.id)) if found else 0,
        tried=tried,
        problems=problems,
        errors={problem.field: problem.message for problem in problems},
        crumbs=[
            (_("Settings"), ""),
            (_("Gateways"), url_for("settings.gateways")),
            (found.name if found else _("New gateway"), ""),
        ],
    )


def _fields(spec: ProviderSpec | None, found: Gateway | None, typed: Typed) -> list[Field]:
    if spec is None:
        return []
    known = secrets_set(current.settings, found) if found else frozenset()
    secret = {name: name in known for name in secret_fields(spec)}
    return fields_of(spec.settings, {**typed.values, **secret}, "settings", {})


def _limits(plugins: Plugins, typed: Typed) -> list[dict[str, Any]]:
    """The limit plugins with their fields."""
    chosen = typed.limits.get("plugins", {})
    return [
        {
            "name": name,
            "label": translated(limit.label),
            "is_on": name in chosen,
            "fields": fields_of(limit.settings, chosen.get(name, {}), f"plugins.{name}", {}),
        }
        for name, limit in plugins.limits.items()
    ]


def _records(
    session: Session, spec: ProviderSpec | None, found: Gateway | None
) -> Sequence[DnsRecord]:
    """What is to be published for a stored gateway; nothing where its settings do not suit."""
    if spec is None or found is None:
        return ()
    try:
        values = settings_of(session, current.plugins, current.settings, found)
    except EnvoiError:
        return ()
    return spec.dns_records(values)
