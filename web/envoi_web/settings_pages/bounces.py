"""Bounces and complaints: how they come in, webhooks of gateways, and what nobody understood."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from flask import Response, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.gateways import get_gateway
from envoi.delivery.models import Gateway
from envoi.errors import NotFoundError
from envoi.feedback.decisions import BELIEVED, DISMISSED, believe, dismiss, suspect_of
from envoi.feedback.mailbox import mailbox_of
from envoi.feedback.models import NO_KEY, NOBODY, Door, DoorSign, Inbound, InboundState
from envoi.feedback.queries import (
    Waiting,
    count_inbound,
    door_signs,
    inbound_of,
    quarantined,
)
from envoi.feedback.webhook import PATH, Webhook, make_webhook, webhook_of
from envoi.tenants.models import Tenant
from envoi.tracking.tokens import signer_of
from envoi.webkit import current, page, permission, see_other, toast
from envoi.webkit.formats import NO_VALUE, moment, translated
from envoi_web.settings_pages.blueprint import settings

MOST_SHOWN = 50
LONGEST_SHOWN = 20_000
_ALIVE_SECONDS = 60

DOORS = {
    Door.HANDOVER: lazy_gettext("At hand-over"),
    Door.LISTENER: lazy_gettext("Listener"),
    Door.MAILBOX: lazy_gettext("Mailbox"),
    Door.WEBHOOK: lazy_gettext("Webhook"),
    Door.CONNECTION: lazy_gettext("Connection to the provider"),
    Door.API: lazy_gettext("API"),
}
REASONS = {
    "broken": lazy_gettext("The message is damaged and could not be read."),
    "no_report": lazy_gettext("It is neither a bounce nor a complaint."),
    "no_message": lazy_gettext("It names no message that was sent from here."),
    NO_KEY: lazy_gettext("It does not prove that it is genuine: decide whether it counts."),
    BELIEVED: lazy_gettext("A person decided that it counts."),
    DISMISSED: lazy_gettext("A person decided that it does not count."),
    "failed": lazy_gettext("It was read, but could not be applied: look into the log."),
}


@dataclass(frozen=True, kw_only=True)
class DoorRow:
    """A way in, and how it is doing."""

    name: str
    place: str
    state: str
    tone: str
    note: str


@dataclass(frozen=True, kw_only=True)
class GatewayRow:
    """A gateway with its webhook, if it has one; its provider may prove itself in its own way."""

    gateway: Gateway
    webhook: Webhook | None
    url: str
    is_signed: bool


@settings.get("/bounces")
@permission("settings.general")
def bounces() -> Response:
    """Show the ways in and what waits for a person."""
    counts: Counter[InboundState] = Counter()
    waiting: list[Waiting] = []
    for owner in _owners():
        with current.database.tenant_session(owner) as session:
            counts.update(count_inbound(session, owner))
            waiting += quarantined(session, owner, MOST_SHOWN)
    with current.session() as session:
        gateways = _gateways(session)
    waiting = sorted(waiting, key=lambda one: one.received_at, reverse=True)[:MOST_SHOWN]
    return page(
        "settings/bounces.html",
        return_path=f"b+…@{current.settings.message_domain}",
        days=current.settings.inbound_days,
        doors=_doors(),
        gateways=gateways,
        providers={
            spec.name: translated(spec.label) for spec in current.plugins.providers.values()
        },
        counts={state.name.lower(): count for state, count in counts.items()},
        waiting=waiting,
        more=counts[InboundState.QUARANTINED] > len(waiting),
        door_names=DOORS,
        reasons=REASONS,
    )


@settings.get("/bounces/<int:inbound_id>")
@permission("settings.general")
def inbound(inbound_id: int) -> Response:
    """Show something that came in as it was."""
    found = _inbound(inbound_id)
    with current.session() as session:
        suspect = suspect_of(session, found)
    return page(
        "settings/inbound.html",
        found=found,
        suspect=suspect,
        open=found.reason == NO_KEY,
        text=found.raw[:LONGEST_SHOWN].decode("utf-8", "replace").replace("\0", "�"),
        cut=found.size > LONGEST_SHOWN,
        door=DOORS[Door(found.door)],
        reason=REASONS.get(found.reason, ""),
        crumbs=[
            (_("Settings"), ""),
            (_("Bounces and complaints"), url_for("settings.bounces")),
            (moment(found.received_at), ""),
        ],
    )


@settings.post("/bounces/<int:inbound_id>/believe")
@permission("settings.general")
def believe_bounce(inbound_id: int) -> Response:
    """Let a bounce count that does not prove itself genuine."""
    with current.session() as session:
        believe(session, current.tenant_id, inbound_id)
    toast(_("The bounce counts."))
    return see_other(url_for("settings.bounces"))


@settings.post("/bounces/<int:inbound_id>/dismiss")
@permission("settings.general")
def dismiss_bounce(inbound_id: int) -> Response:
    """Let such a bounce change nothing."""
    with current.session() as session:
        dismiss(session, current.tenant_id, inbound_id)
    toast(_("The bounce changes nothing."))
    return see_other(url_for("settings.bounces"))


@settings.post("/bounces/webhooks/<int:gateway_id>")
@permission("settings.general")
def new_webhook(gateway_id: int) -> Response:
    """Give a gateway a webhook, or a new one in place of the old."""
    with current.session() as session:
        gateway = get_gateway(session, current.tenant_id, gateway_id)
        make_webhook(session, signer_of(current.settings), current.tenant_id, gateway.id)
    toast(_("The webhook has a new address and secret."))
    return see_other(url_for("settings.bounces"))


def _owners() -> Sequence[int]:
    """Whose mail an administrator sees: what names no message only where there is one company."""
    with current.database.system_session() as session:
        alone = session.scalar(select(func.count()).select_from(table(Tenant))) == 1
    return (current.tenant_id, NOBODY) if alone else (current.tenant_id,)


def _inbound(inbound_id: int) -> Inbound:
    *first, last = _owners()
    for owner in first:
        with suppress(NotFoundError), current.database.tenant_session(owner) as session:
            return inbound_of(session, owner, inbound_id)
    with current.database.tenant_session(last) as session:
        return inbound_of(session, last, inbound_id)


def address_of(webhook: Webhook) -> str:
    """The address that is given to a provider."""
    return f"{current.settings.links_url}{PATH}{webhook.key}"


def _gateways(session: Session) -> list[GatewayRow]:
    c = table(Gateway).c
    query = select(Gateway).where(c.tenant_id == current.tenant_id).order_by(c.channel, c.name)
    signer = signer_of(current.settings)
    own = {name for name, spec in current.plugins.providers.items() if spec.webhook}
    return [
        GatewayRow(
            gateway=gateway,
            webhook=(hook := webhook_of(session, signer, current.tenant_id, gateway.id)),
            url=address_of(hook) if hook else "",
            is_signed=gateway.provider not in own,
        )
        for gateway in session.scalars(query)
    ]


def _doors() -> Sequence[DoorRow]:
    with current.database.system_session() as session:
        signs = door_signs(session)
    place = f"{current.settings.inbound_host}:{current.settings.effective_inbound_port}"
    often = 3 * current.settings.mailbox_seconds
    return [
        _door(Door.LISTENER, place, signs.get("listener"), _ALIVE_SECONDS),
        _door(Door.MAILBOX, _mailbox(), signs.get("mailbox"), often),
    ]


def _door(door: Door, place: str, sign: DoorSign | None, alive_for: float) -> DoorRow:
    last = sign.received_at if sign else None
    trouble = sign.trouble if sign else ""
    state, tone = _("Does not work"), "bad"
    if not place:
        state, tone = _("Not set up"), "soft"
    elif sign and not trouble and sign.is_alive(alive_for):
        state, tone = _("Works"), "good"
    received = _("Last received: %(at)s", at=moment(last)) if last else _("Nothing received yet")
    return DoorRow(
        name=str(DOORS[door]),
        place=place or NO_VALUE,
        state=state,
        tone=tone,
        note=trouble or received,
    )


def _mailbox() -> str:
    """Where the mailbox is, without who may read it."""
    url = current.settings.mailbox_url.get_secret_value()
    if not url:
        return ""
    found = mailbox_of(url)
    return f"{found.host}:{found.port}/{found.folder}"
