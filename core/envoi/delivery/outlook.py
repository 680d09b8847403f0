"""What limits tell people: how much of a day is left, and how long a mailing takes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from envoi.delivery.gateways import default_gateway, get_gateway
from envoi.delivery.limits import (
    ALL_DOMAINS,
    Cap,
    allowances,
    bound_limits,
    caps_of,
    limits_of,
    rates_of,
)
from envoi.delivery.models import Gateway
from envoi.delivery.quota import end_of, state_of, taken_on
from envoi.delivery.routes import likely_route
from envoi.errors import EnvoiError
from envoi.plugins import Plugins
from envoi.settings import Settings
from envoi.tenants.service import company_zone, tenant_settings
from envoi.types import GatewayState

MOST_DAYS = 400
"""So far ahead days are looked at; a mailing's lifetime is shorter."""


@dataclass(frozen=True)
class Today:
    """A day's allowance of a gateway: the label of its limit, and how much of it is taken."""

    label: str
    taken: int
    count: int
    goes_on_at: datetime

    @property
    def is_used_up(self) -> bool:
        """Whether nothing more may leave today."""
        return self.taken >= self.count


@dataclass(frozen=True)
class Outlook:
    """What limits a gateway now; `rate` is messages a second, None without a limit."""

    gateway: str
    rate: float | None
    today: Today | None
    domains: tuple[str, ...] = ()
    """The domains that have used up their day."""


@dataclass(frozen=True)
class Days:
    """How a mailing is spread over days: what leaves on the first, and the last one's date."""

    label: str
    first: int
    last_day: date


def outlook_of_run(
    session: Session, plugins: Plugins, settings: Settings, tenant_id: int, run_id: int
) -> Outlook | None:
    """Return what limits the gateway of a run's next block; None where there is none."""
    with suppress(EnvoiError):
        route = likely_route(session, plugins, tenant_id, run_id)
        gateway = get_gateway(session, tenant_id, route.gateway_id)
        return _outlook(session, plugins, settings, gateway)
    return None


def outlook_of_channel(
    session: Session, plugins: Plugins, settings: Settings, tenant_id: int, channel: str
) -> Outlook | None:
    """Return what limits the default gateway of a channel; None where there is none."""
    gateway = default_gateway(session, tenant_id, channel)
    return _outlook(session, plugins, settings, gateway) if gateway else None


def days_of(
    session: Session, plugins: Plugins, tenant_id: int, channel: str, messages: int, start: datetime
) -> Days | None:
    """Return over which days a day's allowance spreads so many messages; None: it does not."""
    gateway = default_gateway(session, tenant_id, channel)
    bound = bound_limits(plugins, limits_of(gateway)) if gateway else ()
    if gateway is None or not bound or not messages:
        return None
    zone = company_zone(tenant_settings(session, tenant_id))
    day = start.astimezone(zone).date()
    state = state_of(session, tenant_id, gateway.id, day)
    taken = taken_on(session, tenant_id, gateway.id, day).get(ALL_DOMAINS, 0)
    left, first, label = messages, None, ""
    for passed in range(MOST_DAYS):
        ahead = GatewayState(day=day + timedelta(days=passed), days_used=state.days_used + passed)
        cap = caps_of(allowances(plugins, bound, ahead)).get(ALL_DOMAINS)
        room = left if cap is None else max(0, cap.count - taken)
        label, taken = label or (cap.label if cap else ""), 0
        first = min(left, room) if first is None else first
        left -= min(left, room)
        if not left:
            return Days(label, first, ahead.day) if passed else None
    return Days(label, first or 0, day + timedelta(days=MOST_DAYS))


def _outlook(session: Session, plugins: Plugins, settings: Settings, gateway: Gateway) -> Outlook:
    zone = company_zone(tenant_settings(session, gateway.tenant_id))
    day = datetime.now(zone).date()
    state = state_of(session, gateway.tenant_id, gateway.id, day)
    answers = allowances(plugins, bound_limits(plugins, limits_of(gateway)), state)
    rate = rates_of(gateway, settings.domain_limits, answers).gateway
    caps = caps_of(answers)
    taken = taken_on(session, gateway.tenant_id, gateway.id, day) if caps else {}
    return Outlook(
        gateway=gateway.name,
        rate=rate.per_second if rate else None,
        today=_today(caps.get(ALL_DOMAINS), taken.get(ALL_DOMAINS, 0), day, zone),
        domains=tuple(
            name
            for name, cap in sorted(caps.items())
            if name != ALL_DOMAINS and taken.get(name, 0) >= cap.count
        ),
    )


def _today(cap: Cap | None, taken: int, day: date, zone: ZoneInfo) -> Today | None:
    if cap is None:
        return None
    return Today(cap.label, taken, cap.count, end_of(day, zone))
