"""A tenant's gateways for people: how each is, who uses it, their order, deleting one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.circuit import forget
from envoi.delivery.gateways import (
    Account,
    default_gateway,
    get_gateway,
    make_default,
    named_gateway,
    note_change,
    provider_spec,
    store_account,
)
from envoi.delivery.models import UNFINISHED, Circuit, Gateway, Run, RunKind
from envoi.delivery.traffic import Traffic, traffic_of
from envoi.errors import ConflictError, Problem, ValidationFailedError
from envoi.jobs import Work, withdraw
from envoi.plugins import Plugins
from envoi.settings import Settings

MAX_NAME = 100


class Health(StrEnum):
    """How a gateway is: its circuit, and whether it has ever answered as it is set up now."""

    OFF = "off"
    UNTESTED = "untested"
    WORKING = "working"
    SLOW = "slow"
    """It has failed and rests for a moment, or one sender tries it."""
    SILENT = "silent"
    """Its circuit is open."""


@dataclass(frozen=True)
class ListedGateway:
    """A gateway with what is known of it now."""

    gateway: Gateway
    health: Health
    traffic: Traffic
    circuit: Circuit | None


def list_gateways(session: Session, tenant_id: int) -> list[ListedGateway]:
    """Return a tenant's gateways by channel, in the order in which they stand in."""
    g = table(Gateway).c
    query = select(Gateway).where(g.tenant_id == tenant_id)
    ordered = query.order_by(g.channel, g.is_default.desc(), g.position, g.id)
    circuits = session.scalars(select(Circuit).where(table(Circuit).c.tenant_id == tenant_id))
    troubles = {circuit.gateway_id: circuit for circuit in circuits}
    traffic = traffic_of(session, tenant_id)
    return [
        _listed(gateway, troubles.get(gateway.id), traffic.get(gateway.id, Traffic()))
        for gateway in session.scalars(ordered)
    ]


def runs_using(session: Session, tenant_id: int, gateway_id: int) -> list[Run]:
    """Return the unfinished runs of mailings that belong to a gateway."""
    c = table(Run).c
    query = select(Run).where(
        c.tenant_id == tenant_id,
        c.gateway_id == gateway_id,
        c.kind == RunKind.MAILING,
        c.status.in_(UNFINISHED),
    )
    return list(session.scalars(query.order_by(c.id)))


def save_gateway(
    session: Session,
    plugins: Plugins,
    settings: Settings,
    tenant_id: int,
    gateway_id: int | None,
    version: int,
    account: Account,
) -> Gateway:
    """Make or change a gateway as a person has typed it.

    Raises:
        ValidationFailedError: The values do not suit; every problem is named.
        ConflictError: Somebody else changed it meanwhile.
    """
    spec = provider_spec(session, plugins, tenant_id, account.provider)
    gateway = None if gateway_id is None else get_gateway(session, tenant_id, gateway_id)
    if gateway is not None and gateway.version != version:
        raise ConflictError(
            "Somebody else saved this gateway while you were editing. Look at it again, then save."
        )
    channel = gateway.channel if gateway else spec.channel
    problems = _problems_of_name(session, tenant_id, channel, gateway, account.name)
    if problems:
        raise ValidationFailedError(problems)
    return store_account(session, plugins, settings, tenant_id, channel, gateway, account)


def switch_gateway(session: Session, tenant_id: int, gateway_id: int, *, on: bool) -> None:
    """Switch a gateway on or off; what waits for a gateway of the channel looks again."""
    gateway = get_gateway(session, tenant_id, gateway_id)
    if gateway.is_on != on:
        gateway.is_on = on
        note_change(session, gateway)


def move_up(session: Session, tenant_id: int, gateway_id: int) -> None:
    """Let a gateway stand in before the one that is before it now."""
    moved = get_gateway(session, tenant_id, gateway_id)
    c = table(Gateway).c
    query = select(Gateway).where(
        c.tenant_id == tenant_id, c.channel == moved.channel, c.is_default.is_(moved.is_default)
    )
    ordered = list(session.scalars(query.order_by(c.position, c.id).with_for_update()))
    place = ordered.index(moved)
    ordered.insert(max(0, place - 1), ordered.pop(place))
    for position, gateway in enumerate(ordered, start=1):
        gateway.position = position


def delete_gateway(session: Session, tenant_id: int, gateway_id: int) -> None:
    """Delete a gateway and its secrets; the next one becomes the default.

    Raises:
        ConflictError: A mailing that is being sent uses it.
    """
    gateway = get_gateway(session, tenant_id, gateway_id)
    if runs_using(session, tenant_id, gateway_id):
        raise ConflictError(
            "Mailings that are being sent use this gateway. Wait until they have ended, or"
            " switch it off: the gateways that stand in take over."
        )
    forget(session, (tenant_id, gateway_id))
    withdraw(session, tenant_id, Work.PROBE, gateway_id)
    session.delete(gateway)
    session.flush()
    following = default_gateway(session, tenant_id, gateway.channel)
    if following is not None:
        make_default(session, following)


def _problems_of_name(
    session: Session, tenant_id: int, channel: str, gateway: Gateway | None, name: str
) -> list[Problem]:
    if not name or len(name) > MAX_NAME or not name.isprintable():
        return [Problem("name", f"A gateway has a name of 1 to {MAX_NAME} characters.")]
    other = named_gateway(session, tenant_id, channel, name)
    if other is not None and other is not gateway:
        return [Problem("name", "There is a gateway of this name already. Choose another name.")]
    return []


def _listed(gateway: Gateway, circuit: Circuit | None, traffic: Traffic) -> ListedGateway:
    return ListedGateway(gateway, _health(gateway, circuit, traffic), traffic, circuit)


def _health(gateway: Gateway, circuit: Circuit | None, traffic: Traffic) -> Health:
    if not gateway.is_on:
        return Health.OFF
    if circuit is not None and circuit.opened_at is not None:
        return Health.SILENT
    if circuit is not None and circuit.failures:
        return Health.SLOW
    return Health.WORKING if traffic.last_at or circuit else Health.UNTESTED
