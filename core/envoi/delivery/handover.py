"""Cascades that a provider goes through by itself: one request with the messages of all steps.

Whether a gateway does is asked whenever a plan is made, so that what leaves by another one is
followed by the platform's own cascade. A message tells which of the two it is
(`message.handed_over`), written before its first byte leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sqlalchemy import BigInteger, Integer, SmallInteger, literal, select, text
from sqlalchemy import Connection as DatabaseConnection
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from envoi.db import one_at_a_time, table
from envoi.delivery.blocks import BlockKey, rows
from envoi.delivery.claim import ClaimedMessage, Recheck
from envoi.delivery.costs import note_cost
from envoi.delivery.gateways import provider_spec, settings_of
from envoi.delivery.models import Gateway, HandedOver, Message, MessageState
from envoi.delivery.prices import PriceList
from envoi.delivery.recipients import Person
from envoi.delivery.rendering import Rendering
from envoi.errors import ValidationFailedError
from envoi.plugins import Plugins, fence
from envoi.settings import Settings
from envoi.tracking.arrays import columns
from envoi.types import NextMessage, NextStep

if TYPE_CHECKING:
    from envoi.delivery.outcomes import Outcome

_TAKEN = (MessageState.ACCEPTED, MessageState.UNCONFIRMED)


class Further(Protocol):
    """A further step, of a draft or of a run."""

    @property
    def channel(self) -> str:
        """The step's channel."""

    @property
    def wait_minutes(self) -> int:
        """How long the message before may take."""

    @property
    def success(self) -> str:
        """What of the message before makes the step needless."""


def takes_over(
    session: Session,
    plugins: Plugins,
    settings: Settings,
    gateway: Gateway,
    steps: Sequence[Further],
) -> bool:
    """Whether a gateway goes on by itself through all of these steps, to the same address."""
    spec = provider_spec(session, plugins, gateway.tenant_id, gateway.provider)
    known = [plugins.channels.get(name) for name in (gateway.channel, *(s.channel for s in steps))]
    same_address = len({channel and channel.address_kind for channel in known}) == 1
    if spec.takes_over is None or not steps or not same_address:
        return False
    values = settings_of(session, plugins, settings, gateway)
    asked = [as_next(step) for step in steps]
    return bool(fence(plugins, "provider", spec.name, partial(spec.takes_over, values, asked)))


def as_next(step: Further) -> NextStep:
    """Return a further step as providers are told of it."""
    seconds = step.wait_minutes * 60
    return NextStep(channel=step.channel, wait_seconds=seconds, success=str(step.success))


@dataclass(frozen=True, slots=True)
class Later:
    """The price of a further step's message, should the provider come to it."""

    step: int
    parts: int
    amount: int


@dataclass(frozen=True)
class FurtherStep:
    """A step that the provider goes on to by itself."""

    number: int
    step: NextStep
    rendering: Rendering
    recheck: Recheck
    prices: PriceList
    counts_parts: bool

    def render(self, message: ClaimedMessage, person: Person) -> tuple[NextMessage, Later]:
        """Make the message of the step with its price; raise what the content raises."""
        made = self.rendering.render(replace(message, step=self.number), person)
        then = NextMessage(
            channel=self.step.channel,
            wait_seconds=self.step.wait_seconds,
            success=self.step.success,
            sender=made.sender,
            payload=made.payload,
            parts=made.parts,
        )
        parts = made.parts if self.prices or self.counts_parts else 0
        return then, Later(self.number, parts, self.prices.of(made.address) * parts)


def may_follow(
    connection: DatabaseConnection, steps: Sequence[FurtherStep], people: dict[int, Person]
) -> dict[int, Person]:
    """Note with each person the further steps that they may get, asked now as for a claim."""
    if not steps:
        return people
    allowed: dict[int, list[int]] = {number: [] for number in people}
    for step in steps:
        kept_out = {v.customer_id for v in step.recheck(connection, list(people))}
        for number in people.keys() - kept_out:
            allowed[number].append(step.number)
    return {n: replace(person, further=tuple(allowed[n])) for n, person in people.items()}


def further_messages(
    steps: Sequence[FurtherStep], message: ClaimedMessage, person: Person
) -> list[tuple[NextMessage, Later]]:
    """Make what may follow a message; a step whose content cannot be made is left out."""
    found = []
    for step in steps:
        if step.number in person.further:
            with suppress(ValidationFailedError):
                found.append(step.render(message, person))
    return found


def note_handed_over(
    session: Session, key: BlockKey, gateway_id: int, outcomes: Sequence[Outcome]
) -> None:
    """Keep what the further steps of a block's messages cost, should the provider come to them."""
    taken = [o for o in outcomes if o.state in _TAKEN]
    found = [(o, later) for o in taken for later in o.further if later.parts]
    if not found:
        return
    new = rows(
        customer_id=([o.customer_id for o, _ in found], BigInteger()),
        step=([later.step for _, later in found], SmallInteger()),
        parts=([later.parts for _, later in found], Integer()),
        amount=([later.amount for _, later in found], BigInteger()),
    )
    wait_for_prices(session, key.tenant_id, [key.run_id])
    same = {"tenant_id": key.tenant_id, "run_id": key.run_id, "gateway_id": gateway_id}
    query = select(*(literal(value).label(name) for name, value in same.items()), *new.c)
    into = insert(table(HandedOver)).from_select([*same, *new.c.keys()], query)
    kept = {name: into.excluded[name] for name in ("gateway_id", "parts", "amount")}
    session.execute(into.on_conflict_do_update(constraint=table(HandedOver).primary_key, set_=kept))
    theirs = [o.customer_id for o, _ in found]
    charge(session, key.tenant_id, key.run_id, key.launched_on, theirs)


def wait_for_prices(
    session: Session | DatabaseConnection, tenant_id: int, run_ids: Iterable[int]
) -> None:
    """Let prices of these runs be written, and be told to be due, one after the other."""
    for run_id in sorted(set(run_ids)):
        one_at_a_time(session, f"envoi.handover:{tenant_id}:{run_id}")


class Come(NamedTuple):
    """A sign that a provider has come to a further step of a customer's message."""

    run_id: int
    customer_id: int
    step: int
    at: datetime


_STATES = {"accepted": int(MessageState.ACCEPTED), "failed": int(MessageState.FAILED)}
_COME_TO = text(
    "INSERT INTO message (tenant_id, run_id, launched_on, customer_id, step, variant, state,"
    "  accepted_at, follows, handed_over)"
    " SELECT :tenant, m.run_id, :day, m.customer_id, c.step, m.variant, :accepted, min(c.at),"
    "  true, true"
    " FROM unnest(CAST(:runs AS bigint[]), CAST(:customers AS bigint[]),"
    "  CAST(:steps AS smallint[]), CAST(:times AS timestamptz[]))"
    "  AS c(run_id, customer_id, step, at)"
    " JOIN message m ON m.tenant_id = :tenant AND m.launched_on = :day AND m.run_id = c.run_id"
    "  AND m.customer_id = c.customer_id AND m.step < c.step AND m.handed_over"
    "  AND m.block IS NOT NULL AND m.state <> :failed"
    " GROUP BY m.run_id, m.customer_id, c.step, m.variant ORDER BY 2, 4, 5"
    " ON CONFLICT (tenant_id, run_id, customer_id, step, launched_on)"
    " DO UPDATE SET accepted_at = excluded.accepted_at"
    " WHERE message.handed_over AND message.accepted_at > excluded.accepted_at"
)


def come_to(
    session: Session | DatabaseConnection, tenant_id: int, launched_on: date, found: Sequence[Come]
) -> None:
    """Write down the messages of further steps, as taken at the earliest sign, and their cost.

    Nothing happens where the message before was refused, or is not its provider's to go on from.
    Whoever tells of it either has the row of the message before locked, as whoever records that
    one, or has waited for prices that are being written: else both would miss the other.
    """
    given = columns(found, "runs", "customers", "steps", "times")
    fixed = {"tenant": tenant_id, "day": launched_on, **_STATES}
    session.execute(_COME_TO, fixed | given)
    for run_id, customers in groupby(sorted(found), key=attrgetter("run_id")):
        charge(session, tenant_id, run_id, launched_on, [one.customer_id for one in customers])


def charge(
    session: Session | DatabaseConnection,
    tenant_id: int,
    run_id: int,
    launched_on: date,
    customer_ids: Sequence[int],
) -> None:
    """Add the cost of further messages that the provider has come to, each once.

    Asked when such a message is known and when its price is, whichever comes later.
    """
    price, m = table(HandedOver), table(Message).c
    used = select(literal(1)).where(
        m.tenant_id == tenant_id,
        m.run_id == run_id,
        m.launched_on == launched_on,
        m.customer_id == price.c.customer_id,
        m.step == price.c.step,
    )
    theirs = (price.c.tenant_id == tenant_id, price.c.run_id == run_id)
    due = price.update().where(*theirs, price.c.customer_id.in_(customer_ids), ~price.c.charged)
    due = due.where(used.exists()).values(charged=True)
    told = (price.c.gateway_id, price.c.step, price.c.parts, price.c.amount)
    found = sorted(session.execute(due.returning(*told)))
    for gateway_id, prices in groupby(found, key=itemgetter(0)):
        note_cost(session, tenant_id, run_id, gateway_id, [Later(*row[1:]) for row in prices])
