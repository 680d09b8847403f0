"""Gateways: how each is, their order, switching, testing and deleting one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _

from envoi.customers.contacts import masked
from envoi.delivery.gateway_list import (
    Health,
    ListedGateway,
    delete_gateway,
    list_gateways,
    move_up,
    switch_gateway,
)
from envoi.delivery.gateways import get_gateway, make_default
from envoi.delivery.limits import limits_of
from envoi.delivery.probing import try_gateway
from envoi.errors import EnvoiError, ProviderError
from envoi.feedback.models import ReceiverSign
from envoi.feedback.queries import receiver_signs
from envoi.feedback.replies import ShownReply, replies_by_gateway
from envoi.plugins import Plugins
from envoi.webkit import allowed, current, page, permission, see_other, toast
from envoi.webkit.formats import NO_VALUE, moment, number, translated
from envoi_web.settings_pages.blueprint import settings
from envoi_web.settings_pages.gateway_form import Tried, show_gateway

_ALIVE_SECONDS = 60
_MOST_REPLIES = 200


@settings.get("/gateways")
@permission("settings.gateway_health")
def gateways() -> Response:
    """List the gateways by channel, in the order in which they stand in."""
    with current.session() as session:
        found = list_gateways(session, current.tenant_id)
        signs = receiver_signs(session, current.tenant_id)
        plugins = current.plugins.for_tenant(session, current.tenant_id)
    channels: dict[str, list[dict[str, Any]]] = {name: [] for name in plugins.channels}
    for listed in found:
        channels.setdefault(listed.gateway.channel, []).append(_card(listed, signs, plugins))
    labels = {name: str(translated(spec.label)) for name, spec in plugins.channels.items()}
    providers = {spec.channel for spec in plugins.providers.values()}
    return page("settings/gateways.html", channels=channels, labels=labels, providers=providers)


@settings.post("/gateways/<int:gateway_id>/default")
@permission("settings.plugins")
def default_gateway_of_channel(gateway_id: int) -> Response:
    """Let new mailings leave by this gateway."""
    with current.session() as session:
        gateway = get_gateway(session, current.tenant_id, gateway_id)
        make_default(session, gateway)
    toast(_("%(name)s is the default now.", name=gateway.name))
    return see_other(url_for("settings.gateways"))


@settings.post("/gateways/<int:gateway_id>/earlier")
@permission("settings.plugins")
def earlier_gateway(gateway_id: int) -> Response:
    """Let a gateway stand in one place earlier."""
    with current.session() as session:
        move_up(session, current.tenant_id, gateway_id)
    return see_other(url_for("settings.gateways"))


@settings.post("/gateways/<int:gateway_id>/switch")
@permission("settings.plugins")
def switch_gateway_of_channel(gateway_id: int) -> Response:
    """Switch a gateway on or off, as the button said."""
    with current.session() as session:
        on = request.form.get("on") == "1"
        switch_gateway(session, current.tenant_id, gateway_id, on=on)
        name = get_gateway(session, current.tenant_id, gateway_id).name
    toast(_("%(name)s is on.", name=name) if on else _("%(name)s is off.", name=name))
    return see_other(url_for("settings.gateways"))


@settings.post("/gateways/<int:gateway_id>/test")
@permission("settings.plugins")
def try_gateway_of_channel(gateway_id: int) -> Response:
    """Connect without sending, and show the provider's own answer."""
    with current.session() as session:
        get_gateway(session, current.tenant_id, gateway_id)
    try:
        tried = Tried(True, "", try_gateway(current.installation, current.tenant_id, gateway_id))
    except EnvoiError as error:
        raw = error.raw if isinstance(error, ProviderError) else ""
        tried = Tried(False, str(error), raw)
    with current.session() as session:
        return show_gateway(session, gateway_id, tried=tried)


@settings.post("/gateways/<int:gateway_id>/delete")
@permission("settings.plugins")
def remove_gateway(gateway_id: int) -> Response:
    """Delete a gateway that no mailing is using."""
    with current.session() as session:
        delete_gateway(session, current.tenant_id, gateway_id)
    toast(_("Gateway deleted."))
    return see_other(url_for("settings.gateways"))


@settings.get("/gateways/<int:gateway_id>/replies")
@permission("settings.gateway_health")
def gateway_replies(gateway_id: int) -> Response:
    """List what customers answered to messages of a gateway."""
    with current.session() as session:
        gateway = get_gateway(session, current.tenant_id, gateway_id)
        found = replies_by_gateway(session, current.tenant_id, gateway_id, _MOST_REPLIES)
        replies = [_reply(reply) for reply in found]
        return page("settings/replies.html", gateway=gateway, replies=replies, limit=_MOST_REPLIES)


def _reply(reply: ShownReply) -> dict[str, Any]:
    customers = reply.customers if allowed("customers.view") else ()
    return {
        "at": reply.at,
        "text": reply.text,
        "is_stop": reply.is_stop,
        "is_known": bool(reply.customers),
        "phone": reply.address if allowed("customers.contacts") else masked(reply.address),
        "customers": [
            {"name": name, "url": url_for("customers.profile", customer_id=number)}
            for number, name in customers
        ],
    }


def _card(
    listed: ListedGateway, signs: Mapping[int, ReceiverSign], plugins: Plugins
) -> dict[str, Any]:
    gateway, circuit = listed.gateway, listed.circuit
    spec = plugins.providers.get(gateway.provider)
    receives = spec is not None and spec.receive is not None and gateway.is_on
    sign = signs.get(gateway.id)
    error = circuit.error if circuit and circuit.failures else ""
    return {
        "gateway": gateway,
        "provider": translated(spec.label) if spec else gateway.provider,
        "place": str(gateway.settings.get("host", "")),
        "health": (listed.health if spec else Health.OFF).value,
        "facts": [*_facts(listed), *(_reports(sign) if receives else ())],
        "error": error or (sign.trouble if receives and sign else "") if spec else _plugin_off(),
        "answer": circuit.answer if circuit and circuit.failures else "",
        "replies": spec is not None and "replies" in spec.abilities,
        "next_try": moment(circuit.next_try_at) if circuit and circuit.opened_at else "",
    }


def _plugin_off() -> str:
    return str(_("Its plugin is off or gone, so nothing leaves by it. Switch it on in Plugins."))


def _facts(listed: ListedGateway) -> list[tuple[str, str]]:
    traffic, circuit = listed.traffic, listed.circuit
    rate = limits_of(listed.gateway).rate
    failed_at = circuit.failed_at if circuit else None
    return [
        (_("Sent in the last hour"), number(traffic.accepted)),
        (_("Not taken in the last hour"), number(traffic.refused)),
        (_("Last sent"), moment(traffic.last_at) if traffic.last_at else NO_VALUE),
        (_("Last failure"), moment(failed_at) if failed_at else NO_VALUE),
        (_("Limit"), _("%(rate)s a second", rate=number(rate, 2)) if rate else _("no limit")),
    ]


def _reports(sign: ReceiverSign | None) -> Sequence[tuple[str, str]]:
    """How the connection fares by which reports come; the process that holds it signs."""
    works = sign is not None and not sign.trouble and sign.is_alive(_ALIVE_SECONDS)
    last = sign.received_at if sign else None
    return (
        (_("Connection for reports"), _("Works") if works else _("Does not work")),
        (_("Last report"), moment(last) if last else NO_VALUE),
    )
