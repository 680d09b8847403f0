"""Which gateway a run's next block takes: its own while that works, else one that stands in."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    SmallInteger,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.blocks import steps_to_go
from envoi.delivery.circuit import still_open, try_alone
from envoi.delivery.models import Circuit, Gateway, Run, RunStatus
from envoi.delivery.runs import LOOK_AGAIN, pause_run
from envoi.delivery.steps import of_step
from envoi.errors import ConfigurationError, ConflictError, PluginError
from envoi.plugins import Plugins
from envoi.tenants.models import EnabledPlugin


@dataclass(frozen=True)
class Route:
    """A gateway for a step, and everything whose change makes what was prepared for it stale.

    `alone` means that this sender tries a gateway that has failed, and no other one does.
    `services` are the gateways, with their versions, through which a push message goes to the
    devices of each service; this one is the first of them.
    """

    gateway_id: int
    version: int
    plugins: tuple[tuple[str, bool], ...]
    most_connections: int = 0
    services: tuple[tuple[int, int], ...] = ()
    alone: bool = field(default=False, compare=False)
    step: int = 1


@dataclass(frozen=True)
class GatewayInUse:
    """The gateway that a run goes through, and that it should go through."""

    name: str
    instead_of: str = ""


@dataclass(frozen=True)
class WaitingStep:
    """A step of a run whose messages no gateway takes now; `reason` is why the first does not."""

    step: int
    channel: str
    gateway: str
    reason: str


def choose_route(
    session: Session, plugins: Plugins, tenant_id: int, run_id: int, step: int = 1
) -> Route | datetime | None:
    """Choose the gateway of the next block of a run's step; one small query a block.

    Returns:
        The route; or when to look again, while another sender tries a gateway, or while no
        gateway of this step works but other steps go on; or None when there is nothing to send
        or nothing can go on. The run is paused then until a gateway works.

    Raises:
        ConfigurationError: There is no gateway for the channel.
        PluginError: No enabled plugin brings the provider.
    """
    found = session.execute(_candidates(tenant_id, run_id, step)).all()
    if not found or found[0].status != RunStatus.SENDING:
        return None
    usable = _usable(plugins, found)
    for gateway in usable:
        if gateway.opened_at is not None:
            continue
        alone = bool(gateway.failures)
        if alone and not try_alone(session, (tenant_id, gateway.id)):
            until: datetime = max(gateway.next_try_at, gateway.now)
            return until
        return _route(plugins, gateway, usable, alone=alone, step=step)
    first = usable[0]
    if first.expires_at is not None and first.expires_at <= first.now:
        # Nothing of it leaves any more: for that no gateway need work.
        return _route(plugins, first, usable, alone=False, step=step)
    if _others_go_on(session, plugins, tenant_id, run_id, step):
        return _soon(usable)
    _let_wait(session, tenant_id, run_id, usable)
    return None


def likely_route(session: Session, plugins: Plugins, tenant_id: int, run_id: int) -> Route:
    """Return the gateway for a few messages that a person waits for, tried even if it rests.

    Raises:
        ConfigurationError: There is no gateway for the channel.
        PluginError: No enabled plugin brings the provider.
    """
    usable = _usable(plugins, session.execute(_candidates(tenant_id, run_id)).all())
    gateway = next((g for g in usable if g.opened_at is None), usable[0])
    return _route(plugins, gateway, usable, alone=False)


def gateway_in_use(session: Session, tenant_id: int, run_id: int) -> GatewayInUse:
    """Say which gateway a run's next block would take, for people; empty where there is none."""
    found = session.execute(_candidates(tenant_id, run_id)).all()
    named = [gateway for gateway in found if gateway.id is not None]
    if not named:
        return GatewayInUse("")
    first = named[0]
    working = next((g for g in named if g.opened_at is None), first)
    return GatewayInUse(working.name, first.name if working is not first else "")


def waiting_steps(session: Session, tenant_id: int, run_id: int) -> list[WaitingStep]:
    """Say which steps of a run have messages that no gateway takes now, and why."""
    found = []
    for step in sorted(steps_to_go(session.connection(), tenant_id, run_id)):
        named = session.execute(_candidates(tenant_id, run_id, step)).all()
        if named and all(gateway.opened_at is not None for gateway in named):
            found.append(WaitingStep(step, named[0].channel, named[0].name, named[0].error))
    return found


def _soon(gateways: Sequence[Any]) -> datetime:
    """When to look again at gateways none of which works."""
    now: datetime = gateways[0].now
    tries: list[datetime] = [gateway.next_try_at for gateway in gateways]
    return max(now, min(now + LOOK_AGAIN, *tries))


def _others_go_on(
    session: Session, plugins: Plugins, tenant_id: int, run_id: int, step: int
) -> bool:
    """Whether another step of the run has something to send and a gateway for it."""
    others = steps_to_go(session.connection(), tenant_id, run_id) - {step}
    return any(_works(session, plugins, tenant_id, run_id, other) for other in others)


def _works(session: Session, plugins: Plugins, tenant_id: int, run_id: int, step: int) -> bool:
    found = session.execute(_candidates(tenant_id, run_id, step)).all()
    with suppress(ConfigurationError, PluginError):
        return any(gateway.opened_at is None for gateway in _usable(plugins, found))
    return False


def _route(
    plugins: Plugins, chosen: Any, usable: Sequence[Any], *, alone: bool, step: int = 1
) -> Route:
    return Route(
        chosen.id,
        chosen.version,
        tuple(sorted((chosen.switched or {}).items())),
        chosen.most_connections,
        _services(plugins, chosen, usable),
        alone,
        step,
    )


def _services(plugins: Plugins, chosen: Any, usable: Sequence[Any]) -> tuple[tuple[int, int], ...]:
    """Choose a gateway for each push service, of several one that works.

    One without a service of its own serves the devices of all that have no gateway.
    """
    found: dict[str, tuple[int, int]] = {}
    working_first = sorted(usable, key=lambda gateway: gateway.opened_at is not None)
    for gateway in (chosen, *working_first):
        service = plugins.providers[gateway.provider].service
        found.setdefault(service, (gateway.id, gateway.version))
    return tuple(found.values()) if any(found) else ()


def _candidates(tenant_id: int, run_id: int, step: int = 1) -> Any:
    run, gateway, circuit = table(Run).c, table(Gateway).c, table(Circuit).c
    plugin = table(EnabledPlugin).c
    channel, own = _wished(step)
    is_own = or_(gateway.id == own, and_(own.is_(None), gateway.is_default))
    mine = and_(
        gateway.tenant_id == run.tenant_id,
        gateway.channel == channel,
        gateway.is_on,
        or_(is_own, gateway.may_stand_in),
    )
    troubles = and_(circuit.tenant_id == gateway.tenant_id, circuit.gateway_id == gateway.id)
    switched = select(func.jsonb_object_agg(plugin.name, plugin.is_on))
    mine_switched = switched.where(plugin.tenant_id == tenant_id)
    columns = (gateway.id, gateway.name, gateway.provider, gateway.version)
    return (
        select(
            *columns,
            gateway.most_connections,
            run.status,
            run.expires_at,
            channel.label("channel"),
            circuit.failures,
            circuit.opened_at,
            circuit.next_try_at,
            circuit.error,
            func.now().label("now"),
            mine_switched.scalar_subquery().label("switched"),
        )
        .select_from(table(Run).outerjoin(table(Gateway), mine).outerjoin(table(Circuit), troubles))
        .where(run.tenant_id == tenant_id, run.id == run_id)
        .order_by(case((is_own, 0), else_=1), gateway.position, gateway.id)
    )


def _wished(step: int) -> tuple[ColumnElement[str], ColumnElement[int]]:
    """The channel of a step, and the gateway that its run was to go through."""
    run, place = table(Run).c, literal(step, SmallInteger)
    if step == 1:
        return run.channel, run.gateway_id
    return of_step(place, "channel"), cast(of_step(place, "gateway_id"), BigInteger)


def _usable(plugins: Plugins, found: Sequence[Any]) -> list[Any]:
    """Those whose provider is there; raise what a person has to mend when there is none."""
    named = [gateway for gateway in found if gateway.id is not None]
    if not named:
        raise ConfigurationError(
            f"There is no gateway for {found[0].channel}. Set one up in Settings, then resume."
        )
    on = plugins.on(named[0].switched or {})
    usable = [g for g in named if plugins.owners.get(("provider", g.provider)) in on]
    if not usable:
        reason = "no enabled plugin brings this provider. Enable one in Settings, Plugins."
        raise PluginError(named[0].provider, reason)
    return usable


def _let_wait(session: Session, tenant_id: int, run_id: int, gateways: Sequence[Any]) -> None:
    """Pause a run until a gateway works; not when a probe has gone well just now."""
    if not still_open(session, tenant_id, [gateway.id for gateway in gateways]):
        return
    # Somebody may have paused or cancelled it meanwhile.
    with suppress(ConflictError):
        pause_run(session, tenant_id, run_id, gateways[0].error, until_gateway_works=True)
