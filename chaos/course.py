"""A mailing in the course of a row: made, watched to its end, and compared with the record."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Select, func, select

from bench import mailing
from bench.figures import Figure, at_most, info
from bench.processes import wait_for
from bench.stage import Stage
from chaos.witness import Witness
from envoi.customers.models import Customer
from envoi.db import table
from envoi.delivery.limits import set_limits
from envoi.delivery.models import BlockState, Message, MessageState, Run, RunBlock, RunStatus
from envoi.delivery.runs import Progress, get_run, progress
from envoi.delivery.states import RESENT
from envoi.jobs import Work, hint
from envoi.tenants.service import tenant_settings

END_SECONDS = 300.0
"""How much longer than its messages take a run may need to end."""
MESSAGE_SECONDS = 0.05
"""What a message takes at most while others are sent as well."""


@dataclass(frozen=True)
class Row:
    """What a row is given.

    Args:
        stage: The servers.
        scale: 1 is as promised; less is a shorter row.
        chance: Decides who is hit, from the seed that is printed.
    """

    stage: Stage
    scale: float
    chance: random.Random

    def part(self, count: int, least: int = 1) -> int:
        """So many at this scale."""
        return max(least, round(count * self.scale))


@dataclass(frozen=True)
class Course:
    """A run that is being sent to a server that keeps a record."""

    stage: Stage
    run: Run
    people: int
    witness: Witness

    def wait_for_share(self, share: float) -> None:
        """Wait until so much of the run has come."""
        enough = int(self.people * share)
        self._wait(lambda: len(self.witness.look()) >= enough, f"{enough} messages")

    def wait_for_the_end(self) -> None:
        """Wait until the run is sent."""
        self._wait(self.is_over, "the end of the run")

    def wait_for_a_message(self, after: float) -> float:
        """Wait for the next message and return how many seconds it took since a moment."""
        self._wait(lambda: bool(self.witness.first_after(after)), "the next message")
        return (self.witness.first_after(after) or after) - after

    def is_over(self) -> bool:
        """Whether the run is sent."""
        with self.stage.database.tenant_session(self.run.tenant_id) as session:
            return get_run(session, self.run.tenant_id, self.run.id).status == RunStatus.SENT

    def progress(self) -> Progress:
        """How many recipients are in each state."""
        with self.stage.database.tenant_session(self.run.tenant_id) as session:
            return progress(session, self.run.tenant_id, self.run.id)

    def addresses(self, *conditions: ColumnElement[bool]) -> set[str]:
        """The addresses of recipients whose message fulfils conditions."""
        message, customer = table(Message).c, table(Customer).c
        query: Select[str] = select(customer.email).where(
            message.tenant_id == self.run.tenant_id,
            message.run_id == self.run.id,
            message.launched_on == self.run.launched_on,
            customer.tenant_id == message.tenant_id,
            customer.id == message.customer_id,
            *conditions,
        )
        with self.stage.database.tenant_session(self.run.tenant_id) as session:
            return set(session.scalars(query).all())

    def resent(self) -> set[str]:
        """The addresses that the ledger says may have been reached twice."""
        return self.addresses(table(Message).c.detail == RESENT)

    def in_open_blocks(self, sender_ids: Sequence[int]) -> int:
        """How many messages are in the blocks that senders have claimed."""
        block = table(RunBlock).c
        theirs = select(block.number).where(
            block.tenant_id == self.run.tenant_id,
            block.run_id == self.run.id,
            block.state == BlockState.CLAIMED,
            block.sender_id.in_(sender_ids),
        )
        message = table(Message).c
        claimed = message.state == MessageState.CLAIMED
        return len(self.addresses(claimed, message.block.in_(theirs)))

    def wait_for_a_claim(self, after: float) -> float:
        """Wait until a block is claimed after a moment, and return when that was."""
        c = table(RunBlock).c
        query = select(func.min(c.claimed_at)).where(
            c.tenant_id == self.run.tenant_id,
            c.run_id == self.run.id,
            c.claimed_at > datetime.fromtimestamp(after, UTC),
        )

        def first() -> datetime | None:
            with self.stage.database.tenant_session(self.run.tenant_id) as session:
                found: datetime | None = session.scalar(query)
                return found

        self._wait(lambda: first() is not None, "the next claim")
        return (first() or datetime.now(UTC)).timestamp()

    def verdict(self, row: str, duplicates: int) -> list[Figure]:
        """Compare the record with the ledger once the run has ended.

        `lost` are recipients whom nothing reached, `uncovered` those whom something reached
        twice without the ledger saying that it may have.
        """
        served = self.witness.served()
        everybody = self.addresses()
        assert len(everybody) == self.people, "the run has other recipients than were made"
        twice = {address for address, times in served.items() if times > 1}
        resent = self.resent()
        return [
            at_most(f"{row}.lost", len(everybody - served.keys()), "messages", 0),
            at_most(f"{row}.strangers", len(served.keys() - everybody), "messages", 0),
            at_most(f"{row}.duplicates", served.total() - len(served), "messages", duplicates),
            at_most(f"{row}.uncovered", len(twice - resent), "messages", 0),
            info(f"{row}.said_unconfirmed", len(resent), "messages"),
        ]

    def _wait(self, is_so: Callable[[], bool], what: str) -> None:
        wait_for(is_so, what, seconds=END_SECONDS + MESSAGE_SECONDS * self.people)


def a_course(
    stage: Stage,
    people: int,
    witness: Witness,
    *,
    hold: bool = False,
    per_second: float | None = None,
) -> Course:
    """Collect a run to so many people, so that senders may begin.

    Args:
        hold: Whether messages of unknown outcome are left instead of sent again.
        per_second: The limit of the gateway.
    """
    tenant_id = stage.tenant()
    if hold:
        with stage.database.tenant_session(tenant_id) as session:
            tenant_settings(session, tenant_id).unconfirmed_resend = {"email": False}
    mailing.make_people(stage, tenant_id, people)
    gateway_id = mailing.make_gateway(stage, tenant_id, witness.port)
    if per_second:
        with stage.database.tenant_session(tenant_id) as session:
            limits = {"per_second": per_second}
            set_limits(session, stage.installation.plugins, tenant_id, gateway_id, limits)
    run = mailing.collected_run(stage, tenant_id, gateway_id, mailing.email(links=1, prose=1))
    hint(stage.installation.broker, Work.SEND, tenant_id, run.id)
    return Course(stage, run, people, witness)
