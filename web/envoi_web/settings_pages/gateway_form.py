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
    kept_of,
    settings_of,
)
from envoi.delivery.limits import set_limits
from envoi.delivery.models import Gateway
from envoi.delivery.prices import prices_of, set_prices
from envoi.errors import ConflictError, EnvoiError, NotFoundError, Problem, ValidationFailedError
from envoi.feedback.webhook import keep_webhook, webhook_of
from envoi.plugins import Plugins
from envoi.tracking.tokens import signer_of
from envoi.types import AddressKind, DnsRecord, ProviderSpec
from envoi.webkit import current, page, permission, see_other, toast
from envoi.webkit.formats import translated
from envoi_web.model_forms import (
    Field,
    fields_of,
    kept_fields,
    read_pairs,
    read_settings,
    shown_number,
    shown_pairs,
)
from envoi_web.settings_pages.blueprint import settings
from envoi_web.settings_pages.bounces import address_of

MOST_CONNECTIONS = 1_000
OTHERS = "*"
"""Stands for all addresses that have no price of their own."""
_OWN = (
    *("", "name", "most_connections", "provider", "per_second", "per_minute", "domains"),
    "plugins",
)
"""Fields that every gateway has; all others are the provider's."""


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
    prices: str = ""


@settings.get("/gateways/new")
@permission("settings.plugins")
def new_gateway() -> Response:
    """Show the form of a new gateway."""
    with current.session() as session:
        plugins = current.plugins.for_tenant(session, current.tenant_id)
        asked = request.args.get
        spec = _chosen_provider(plugins, asked("provider", ""), asked("channel", ""))
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
        prices=_shown_prices(found),
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
    if typed.prices.strip() != _shown_prices(saved):
        set_prices(session, current.tenant_id, saved.id, {"prices": _read_prices(typed.prices)})
    if spec.webhook is not None:
        keep_webhook(session, signer_of(current.settings), current.tenant_id, saved.id)
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
        prices=form.get("prices", "").replace("\r\n", "\n"),
    )


def _read_prices(typed: str) -> list[dict[str, str]]:
    """Read a line for each beginning of addresses and its price; the table checks them."""
    pairs = [pair for line in typed.splitlines() for pair in read_pairs(line).items()]
    return [
        {"prefix": "" if name == OTHERS else name, "price": price.replace(",", ".")}
        for name, price in pairs
    ]


def _shown_prices(gateway: Gateway) -> str:
    return "\n".join(f"{p.prefix or OTHERS} {p.price}" for p in prices_of(gateway).prices)


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
    return list(dict.fromkeys(map(_placed, error.problems)))


def _placed(problem: Problem) -> Problem:
    """Put a problem at the field of the form that it is about."""
    part, _dot, within = problem.field.partition(".")
    if part == "prices":
        return Problem(part, _of_price(int(within.split(".")[0])) if within else problem.message)
    return problem if part in _OWN else Problem(f"settings.{problem.field}", problem.message)


def _of_price(place: int) -> str:
    """Say how the price at a place of the list is written; a line may have several faults."""
    words = _(
        "Price %(number)d is not written as it should be. Write the beginning of the numbers with"
        " +, or *, and what a part costs, with at most four decimals: +49 0.075.",
        number=place + 1,
    )
    return str(words)


def _by_channel(plugins: Plugins) -> dict[str, list[ProviderSpec]]:
    """The providers of each channel that has one, in the order of the channels."""
    found = {
        name: [each for each in plugins.providers.values() if each.channel == name]
        for name in plugins.channels
    }
    return {name: specs for name, specs in found.items() if specs}


def _chosen_provider(plugins: Plugins, name: str, channel: str = "") -> ProviderSpec:
    offered = _by_channel(plugins)
    first = offered.get(channel) or next(iter(offered.values()), [])
    spec = plugins.providers.get(name) or next(iter(first), None)
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
        providers=[
            (
                translated(plugins.channels[name].label),
                [(p.name, translated(p.label)) for p in specs],
            )
            for name, specs in _by_channel(plugins).items()
        ],
        typed=typed,
        fields=_fields(spec, found, typed),
        domains=shown_pairs(typed.limits.get("domains", {})) if _has_domains(spec) else None,
        limits=_limits(plugins, typed),
        records=_records(session, spec, found),
        webhook=_webhook(session, spec, found),
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


def _has_domains(spec: ProviderSpec | None) -> bool:
    channel = current.plugins.channels.get(spec.channel) if spec else None
    return channel is not None and channel.address_kind is AddressKind.EMAIL


def _fields(spec: ProviderSpec | None, found: Gateway | None, typed: Typed) -> list[Field]:
    if spec is None:
        return []
    kept = kept_of(found) if found else None
    return kept_fields(spec.settings, typed.values, kept, "settings")


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


def _webhook(session: Session, spec: ProviderSpec | None, found: Gateway | None) -> str:
    """Where the provider is to report to, if it does and the gateway is stored."""
    if found is None or spec is None or spec.webhook is None:
        return ""
    webhook = webhook_of(session, signer_of(current.settings), current.tenant_id, found.id)
    return address_of(webhook) if webhook else ""
