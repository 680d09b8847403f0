"""The circuit of a gateway: what fails as a whole rests, and all processes know of it.

The first failures let the gateway rest for a moment each; then one sender alone tries a block.
After a few in a row, or one that needs a person, the circuit opens: nothing is sent, and a
probe that sends no message asks from time to time (`envoi.delivery.probing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from envoi.db import storable, table
from envoi.delivery.models import Circuit, Gateway
from envoi.errors import PermanentProviderError, ProviderError
from envoi.jobs import Work, announce
from envoi.logs import without_secrets

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
LONGEST_ASKED = 3600.0
"""A provider that asks for a longer pause is asked again by then."""
FAILURES_TO_OPEN = 5
TRIAL_SECONDS = 10.0
"""For so long a sender may try a gateway alone; if it dies meanwhile, another one does."""
MAX_WORDS = 500

GatewayKey = tuple[int, int]
"""Tenant and gateway."""


@dataclass(frozen=True)
class BackOff:
    """How long a gateway rests: each failure in a row doubles the pause before the next try."""

    first: float = FIRST_PAUSE
    failures: int = FAILURES_TO_OPEN

    def after(self, failures: int, retry_after: float | None = None) -> timedelta:
        """Return the pause after so many failures, or what the provider asks for if longer."""
        pause = min(self.first * 2 ** min(failures - 1, 20), LONGEST_PAUSE)
        return timedelta(seconds=max(pause, min(retry_after or 0, LONGEST_ASKED)))


BACK_OFF = BackOff()


def failed(
    session: Session,
    gateway: GatewayKey,
    error: ProviderError,
    back_off: BackOff = BACK_OFF,
    *,
    alone: bool = False,
    at_once: bool = False,
) -> Circuit:
    """Note that a gateway failed as a whole; what fails while it rests tells nothing new.

    Args:
        alone: It failed in a trial or probe, whose time the rest is.
        at_once: Open the circuit, however few the failures were.
    """
    circuit = _locked(session, gateway)
    now = session.scalars(select(func.clock_timestamp())).one()
    is_certain = at_once or isinstance(error, PermanentProviderError)
    if now >= circuit.next_try_at or alone or is_certain:
        least = back_off.failures if is_certain else 1
        circuit.failures = max(circuit.failures + 1, least)
        circuit.next_try_at = now + back_off.after(circuit.failures, error.retry_after)
        circuit.failed_at = now
        circuit.error = storable(without_secrets(str(error)))[:MAX_WORDS]
        circuit.answer = storable(without_secrets(error.raw))[:MAX_WORDS]
    if circuit.failures >= back_off.failures:
        circuit.opened_at = circuit.opened_at or now
        announce(session, gateway[0], Work.PROBE, gateway[1], circuit.next_try_at)
    session.flush()
    return circuit


def worked(session: Session, gateway: GatewayKey) -> None:
    """Forget the failures: the gateway takes messages. What was wrong last stays readable."""
    closed = update(Circuit).where(_is(gateway)).values(failures=0, opened_at=None)
    session.execute(closed)


def try_alone(session: Session, gateway: GatewayKey) -> bool:
    """Take the right to try a gateway that has failed; one sender at a time has it."""
    c = table(Circuit).c
    mine = update(Circuit).where(_is(gateway), c.opened_at.is_(None), c.next_try_at <= func.now())
    until = func.now() + timedelta(seconds=TRIAL_SECONDS)
    return session.scalar(mine.values(next_try_at=until).returning(c.gateway_id)) is not None


def half_open(session: Session, gateway: GatewayKey) -> None:
    """Let one sender try at once: a probe went well, or a person wishes it."""
    c = table(Circuit).c
    tried = update(Circuit).where(_is(gateway), c.failures > 0)
    session.execute(tried.values(opened_at=None, next_try_at=func.now()))


def answered(session: Session, gateway: GatewayKey) -> None:
    """Note that a gateway answers a probe or a test: it is tried again, and known to be well."""
    _locked(session, gateway)
    half_open(session, gateway)


def half_open_all(session: Session, tenant_id: int, channel: str) -> None:
    """Let every gateway of a channel be tried at once."""
    c = table(Gateway).c
    query = select(c.id).where(c.tenant_id == tenant_id, c.channel == channel)
    for gateway_id in session.scalars(query):
        half_open(session, (tenant_id, gateway_id))


def forget(session: Session, gateway: GatewayKey) -> None:
    """Forget everything: the gateway was changed or deleted."""
    session.execute(table(Circuit).delete().where(_is(gateway)))


def still_open(session: Session, tenant_id: int, gateway_ids: list[int]) -> bool:
    """Whether none of these gateways may be tried, and none will be before we commit."""
    c = table(Circuit).c
    query = select(c.gateway_id).where(
        c.tenant_id == tenant_id, c.gateway_id.in_(gateway_ids), c.opened_at.is_not(None)
    )
    found = session.scalars(query.with_for_update(read=True)).all()
    return len(found) == len(gateway_ids)


def _locked(session: Session, gateway: GatewayKey) -> Circuit:
    key = {"tenant_id": gateway[0], "gateway_id": gateway[1]}
    session.execute(insert(table(Circuit)).values(key).on_conflict_do_nothing())
    circuit: Circuit = session.get_one(Circuit, gateway, with_for_update=True)
    return circuit


def _is(gateway: GatewayKey) -> ColumnElement[bool]:
    c = table(Circuit).c
    return and_(c.tenant_id == gateway[0], c.gateway_id == gateway[1])
