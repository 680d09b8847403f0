"""What may leave through a gateway on a day: taken by the claim that commits before a byte leaves.

It is counted in the database, so that nothing but it decides. A process that dies between has
taken more than it sent: a day may end below its cap, never above it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Integer, Text, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.blocks import rows
from envoi.delivery.claim import Recheck, Verdict
from envoi.delivery.limits import (
    ALL_DOMAINS,
    Cap,
    allowances,
    bound_limits,
    caps_of,
    limits_of,
    rates_of,
)
from envoi.delivery.models import Gateway, GatewayDay
from envoi.delivery.recipients import PeopleQuery
from envoi.delivery.throttle import Rates, domain_of
from envoi.plugins import Plugins
from envoi.settings import Settings
from envoi.tenants.service import company_zone, tenant_settings
from envoi.types import GatewayState

Ask = Callable[[GatewayState], Mapping[str, Cap]]
"""Returns the caps of a day by domain."""


class DayQuota:
    """The allowance of a gateway, day by day of the company's calendar; used by all threads."""

    def __init__(self, tenant_id: int, gateway_id: int, zone: ZoneInfo, ask: Ask) -> None:
        self._key = {"tenant_id": tenant_id, "gateway_id": gateway_id}
        self._zone, self._ask = zone, ask
        self._caps: tuple[date, Mapping[str, Cap]] | None = None
        self._closed_until: datetime | None = None

    def opens_at(self) -> datetime | None:
        """When something may leave again; None: now."""
        until = self._closed_until
        return until if until and until > datetime.now(UTC) else None

    def after(self, recheck: Recheck, people: PeopleQuery) -> Recheck:
        """Return a re-check that also puts off until tomorrow who is over the day's cap."""

        def asked(connection: Connection, customer_ids: Sequence[int]) -> Sequence[Verdict]:
            verdicts = list(recheck(connection, customer_ids))
            out = {verdict.customer_id for verdict in verdicts}
            left = [customer_id for customer_id in customer_ids if customer_id not in out]
            return verdicts + self._take(connection, left, people)

        return asked

    def give_back(self, connection: Connection, domains: Iterable[str], taken_at: datetime) -> None:
        """Return to its own day what was taken for messages to these domains that stayed."""
        back = Counter(domains)
        back[ALL_DOMAINS] = back.total()
        if back[ALL_DOMAINS]:
            day = taken_at.astimezone(self._zone).date()
            self._add(connection, day, {name: -n for name, n in back.items()})
            self._closed_until = None

    def _take(
        self, connection: Connection, customer_ids: Sequence[int], people: PeopleQuery
    ) -> list[Verdict]:
        today = self._today()
        caps = self._caps_of(connection, today)
        if not caps or not customer_ids:
            return []
        domains: dict[int, str] = {}
        if caps.keys() - {ALL_DOMAINS}:
            found = people.fetch(connection, customer_ids)
            domains = {number: domain_of(person) for number, person in found.items()}
        taken = self._lock(connection, today, {ALL_DOMAINS, *caps})
        room = {domain: cap.count - taken[domain] for domain, cap in caps.items()}
        tomorrow = end_of(today, self._zone)
        used: Counter[str] = Counter()
        verdicts = []
        for customer_id in customer_ids:
            names = [n for n in (ALL_DOMAINS, domains.get(customer_id)) if n in room]
            if any(room[name] <= used[name] for name in names):
                verdicts.append(Verdict(customer_id, None, None, tomorrow))
            else:
                used.update({ALL_DOMAINS, *names})
        self._add(connection, today, used)
        if ALL_DOMAINS in room and room[ALL_DOMAINS] <= used[ALL_DOMAINS]:
            self._closed_until = tomorrow
        return verdicts

    def _today(self) -> date:
        return datetime.now(self._zone).date()

    def _caps_of(self, connection: Connection, today: date) -> Mapping[str, Cap]:
        kept = self._caps
        if kept is None or kept[0] != today:
            kept = self._caps = (today, self._ask(state_of(connection, **self._key, day=today)))
        return kept[1]

    def _lock(self, connection: Connection, day: date, domains: Iterable[str]) -> Counter[str]:
        names = sorted(domains)
        values = [{**self._key, "day": day, "domain": name} for name in names]
        connection.execute(upsert(table(GatewayDay)).on_conflict_do_nothing(), values)
        c = table(GatewayDay).c
        mine = (c[name] == value for name, value in self._key.items())
        query = select(c.domain, c.taken).where(*mine, c.day == day, c.domain.in_(names))
        found = connection.execute(query.order_by(c.domain).with_for_update())
        return Counter({row.domain: row.taken for row in found})

    def _add(self, connection: Connection, day: date, counts: Mapping[str, int]) -> None:
        more = rows(domain=(list(counts), Text()), count=(list(counts.values()), Integer()))
        days = table(GatewayDay)
        mine = (days.c[name] == value for name, value in self._key.items())
        taken = func.greatest(0, days.c.taken + more.c.count)
        connection.execute(
            days.update()
            .where(*mine, days.c.day == day, days.c.domain == more.c.domain)
            .values(taken=taken)
        )


def limits_for(
    session: Session, plugins: Plugins, settings: Settings, gateway: Gateway
) -> tuple[Rates, DayQuota | None]:
    """Return how fast a gateway may be used, and what it may take a day if that is limited."""
    zone = company_zone(tenant_settings(session, gateway.tenant_id))
    bound = bound_limits(plugins, limits_of(gateway))
    state = state_of(session, gateway.tenant_id, gateway.id, datetime.now(zone).date())
    rates = rates_of(gateway, settings.domain_limits, allowances(plugins, bound, state))

    def ask(state: GatewayState) -> Mapping[str, Cap]:
        return caps_of(allowances(plugins, bound, state))

    return rates, DayQuota(gateway.tenant_id, gateway.id, zone, ask) if bound else None


def end_of(day: date, zone: ZoneInfo) -> datetime:
    """Return when a day's allowance ends and the next day's begins."""
    return datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)


def state_of(
    connection: Connection | Session, tenant_id: int, gateway_id: int, day: date
) -> GatewayState:
    """Return what a limit may know of a gateway on a day."""
    c = table(GatewayDay).c
    used = select(func.count()).where(
        c.tenant_id == tenant_id,
        c.gateway_id == gateway_id,
        c.domain == ALL_DOMAINS,
        c.day < day,
        c.taken > 0,
    )
    return GatewayState(day=day, days_used=connection.execute(used).scalar_one())


def taken_on(
    connection: Connection | Session, tenant_id: int, gateway_id: int, day: date
) -> dict[str, int]:
    """Return how much of a day's allowance is taken, by domain."""
    c = table(GatewayDay).c
    query = select(c.domain, c.taken).where(
        c.tenant_id == tenant_id, c.gateway_id == gateway_id, c.day == day
    )
    return {row.domain: row.taken for row in connection.execute(query)}
