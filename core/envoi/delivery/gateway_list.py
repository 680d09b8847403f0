"""A tenant's gateways for people: how each is, who uses it, their order, deleting one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.circuit import forget
from envoi.delivery.gateways import default_gateway, get_gateway, make_default
from envoi.delivery.models import Circuit, Gateway, Run, RunKind, RunStatus
from envoi.delivery.traffic import Traffic, traffic_of
from envoi.errors import ConflictError
from envoi.jobs import Work, withdraw

UNFINISHED = (RunStatus.COLLECTING, RunStatus.SENDING, RunStatus.PAUSED)


class Health(StrEnum):
    """How a gateway is: its circuit, and whether anything has left by it."""

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
        _state(gateway, troubles.get(gateway.id), traffic.get(gateway.id, Traffic()))
        for gateway in session.scalars(ordered)
    ]


def gateway_state(session: Session, tenant_id: int, gateway_id: int) -> ListedGateway:
    """Return one gateway's state, or raise `NotFoundError`."""
    gateway = get_gateway(session, tenant_id, gateway_id)
    circuit = session.get(Circuit, (tenant_id, gateway_id))
    return _state(gateway, circuit, traffic_of(session, tenant_id).get(gateway_id, Traffic()))


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


def _state(gateway: Gateway, circuit: Circuit | None, traffic: Traffic) -> ListedGateway:
    return ListedGateway(gateway, _health(gateway, circuit, traffic), traffic, circuit)


def _health(gateway: Gateway, circuit: Circuit | None, traffic: Traffic) -> Health:
    if not gateway.is_on:
        return Health.OFF
    if circuit is not None and circuit.opened_at is not None:
        return Health.SILENT
    if circuit is not None and circuit.failures:
        return Health.SLOW
    return Health.WORKING if traffic.last_at else Health.UNTESTED
