"""Runs: making one, steering it, and how far it has come."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import and_, func, or_, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.blocks import cancel_waiting, is_finished, next_due
from envoi.delivery.circuit import half_open_all
from envoi.delivery.figures import keep_figures
from envoi.delivery.models import (
    UNFINISHED,
    Link,
    MessageState,
    Run,
    RunBlock,
    RunKind,
    RunStatus,
)
from envoi.delivery.pace import Pace, keep_pace, pace_of
from envoi.delivery.people import of_run, people_of
from envoi.delivery.states import RECIPIENT_STATES
from envoi.delivery.steps import StepContent, channels_of, uses_channel
from envoi.errors import ConflictError, NotFoundError
from envoi.jobs import Work, announce, withdraw
from envoi.schema import make_month
from envoi.types import Envelope

LOOK_AGAIN = timedelta(seconds=60)
"""When a run is looked at again whose last blocks others are working on."""


class VariantContent(BaseModel):
    """A variant as it was when the run began."""

    model_config = ConfigDict(frozen=True)

    number: int = Field(ge=1, le=15)
    share: float = Field(100, ge=0, le=100)
    content: dict[str, Any]


class RunSettings(BaseModel):
    """Everything a run depends on, frozen when it begins; stored as `run.settings`.

    `tree` is the segment, None for runs whose recipients are named; `rules` are those of the
    policy, as `{"kind": ..., "settings": {...}}`. `resends_unconfirmed` is the channel's contract,
    which holds where the company has not chosen; runs of earlier releases are emails.
    """

    model_config = ConfigDict(frozen=True)

    tree: dict[str, Any] | None = None
    rules: list[dict[str, Any]] = Field(default_factory=list)
    category_id: int | None = None
    control_share: float = Field(0, ge=0, le=100)
    control_audience_id: int | None = None
    strata: list[str] = Field(default_factory=list)
    one_per_address: bool = True
    attribution_days: int = Field(14, ge=0)
    attribution_from: date | None = None
    attribution_until: date | None = None
    attribution_conditions: dict[str, Any] = Field(default_factory=dict)
    lifetime_minutes: int = Field(4320, ge=1)
    limit_per_minute: int | None = Field(None, ge=1)
    window_from: int | None = None
    window_until: int | None = None
    window_zone: str = "company"
    variants: list[VariantContent]
    steps: list[StepContent] = Field(default_factory=list)
    """A cascade's steps after the first."""
    message_domain: str = "envoi.test"
    links_url: str = ""
    block_size: int = Field(250, ge=1, le=500)
    is_service: bool = False
    """A service message: goes before the company's other messages."""
    resends_unconfirmed: bool = True
    most_recipients: int | None = None
    """More than these were not approved; collecting stops there."""
    budget: int | None = Field(None, ge=1)
    """What the messages may cost, in 1/10,000 of the currency's unit; the run pauses there."""

    def variants_at(self, step: int) -> list[VariantContent]:
        """The variants with their contents for a step."""
        if not 2 <= step <= 1 + len(self.steps):
            return self.variants
        pairs = zip(self.variants, self.steps[step - 2].contents, strict=True)
        return [variant.model_copy(update={"content": content}) for variant, content in pairs]

    def pace(self) -> Pace | None:
        """How the limit per minute is kept, where there is one."""
        return pace_of(self.limit_per_minute, self.block_size)

    def envelope(self, feedback_id: str) -> Envelope:
        """What the content is told of the run."""
        return Envelope(
            message_domain=self.message_domain,
            return_path_domain=self.message_domain,
            base_url=self.links_url,
            feedback_id=feedback_id,
        )


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How many recipients are in each state; the states add up to `recipients`."""

    ready: int = 0
    claimed: int = 0
    accepted: int = 0
    failed: int = 0
    unconfirmed: int = 0
    blocked: int = 0
    expired: int = 0
    cancelled: int = 0

    @property
    def recipients(self) -> int:
        """Everybody who was collected to receive."""
        return self.done + self.ready + self.claimed

    @property
    def done(self) -> int:
        """Those for whom nothing more will be tried by itself."""
        final = (self.accepted, self.failed, self.unconfirmed)
        return sum(final) + self.blocked + self.expired + self.cancelled


def create_run(
    session: Session,
    tenant_id: int,
    *,
    mailing_id: int | None,
    kind: RunKind,
    channel: str,
    gateway_id: int | None,
    settings: RunSettings,
    now: datetime,
    seed: int | None = None,
) -> Run:
    """Make a run whose audience is yet to be collected; the caller announces that.

    With the seed of an estimate the run draws exactly the customers that were shown.
    """
    launched_on = now.astimezone(UTC).date()
    make_month(session.connection(), launched_on)
    run = Run(
        tenant_id=tenant_id,
        kind=kind,
        mailing_id=mailing_id,
        gateway_id=gateway_id,
        channel=channel,
        launched_on=launched_on,
        seed=secrets.randbits(63) if seed is None else seed,
        settings=settings.model_dump(mode="json"),
        expires_at=now + timedelta(minutes=settings.lifetime_minutes),
    )
    session.add(run)
    session.flush()
    return run


def get_run(session: Session, tenant_id: int, run_id: int, *, lock: bool = False) -> Run:
    """Return a run, locked against other changes of its course if wished."""
    run = session.get(Run, (tenant_id, run_id), with_for_update=lock or None)
    if run is None:
        raise NotFoundError(f"There is no run number {run_id}.")
    return run


def start_sending(session: Session, tenant_id: int, run_id: int) -> None:
    """Let senders at a collected run; a run that was paused or cancelled meanwhile stays so."""
    run = get_run(session, tenant_id, run_id, lock=True)
    withdraw(session, tenant_id, Work.COLLECT, run_id)
    if run.status == RunStatus.COLLECTING:
        run.status = RunStatus.SENDING
    if run.status != RunStatus.PAUSED:
        announce(session, tenant_id, Work.SEND, run_id, urgent=_is_urgent(run))
    if run.kind == RunKind.MAILING:
        announce(session, tenant_id, Work.ATTRIBUTE, run_id)


def pause_run(
    session: Session,
    tenant_id: int,
    run_id: int,
    reason: str,
    *,
    until_gateway_works: bool = False,
) -> None:
    """Stop a run after the blocks on their way; pausing twice keeps the first reason.

    With `until_gateway_works` it goes on by itself when one does.
    """
    run = get_run(session, tenant_id, run_id, lock=True)
    if run.status == RunStatus.PAUSED:
        return
    if run.status not in (RunStatus.COLLECTING, RunStatus.SENDING):
        raise ConflictError("The mailing is not being sent, so it cannot be paused.")
    run.status = RunStatus.PAUSED
    run.paused_at, run.pause_reason = datetime.now(UTC), reason
    run.waits_for_gateway = until_gateway_works
    withdraw(session, tenant_id, Work.COLLECT, run_id)
    withdraw(session, tenant_id, Work.SEND, run_id)


def resume_run(session: Session, tenant_id: int, run_id: int) -> None:
    """Go on where the run stopped: with collecting, or with what waits to be sent.

    Of a run that waits for a gateway, the gateways are tried at once.
    """
    c = table(Run).c
    waits = select(Run).where(c.tenant_id == tenant_id, c.id == run_id, c.waits_for_gateway)
    if (run := session.scalar(waits)) is not None:
        # Before the run is locked: a sender that pauses it looks at the circuits first as well.
        for channel in channels_of(run):
            half_open_all(session, tenant_id, channel)
    _resume(session, tenant_id, run_id)


def resume_waiting(session: Session, tenant_id: int, channel: str) -> None:
    """Go on with every run that waits for a gateway of a channel, as a whole or with a step."""
    c = table(Run).c
    paused = and_(c.status == RunStatus.PAUSED, c.waits_for_gateway)
    with_steps = and_(
        c.status == RunStatus.SENDING, func.jsonb_array_length(c.settings["steps"]) > 0
    )
    query = select(c.id, c.status).where(
        c.tenant_id == tenant_id, uses_channel(channel), or_(paused, with_steps)
    )
    for run_id, status in session.execute(query.order_by(c.id).with_for_update()).all():
        if status == RunStatus.PAUSED:
            _resume(session, tenant_id, run_id)
        else:
            announce(session, tenant_id, Work.SEND, run_id)


def _resume(session: Session, tenant_id: int, run_id: int) -> None:
    run = get_run(session, tenant_id, run_id, lock=True)
    if run.status != RunStatus.PAUSED:
        raise ConflictError("The mailing is not paused, so it cannot be resumed.")
    run.paused_at, run.pause_reason = None, ""
    run.waits_for_gateway = False
    if run.collected_at is None:
        run.status = RunStatus.COLLECTING
        announce(session, tenant_id, Work.COLLECT, run_id)
    else:
        run.status = RunStatus.SENDING
        if (pace := RunSettings.model_validate(run.settings).pace()) is not None:
            keep_pace(session.connection(), tenant_id, run_id, pace)
        announce(session, tenant_id, Work.SEND, run_id, urgent=_is_urgent(run))
        if run.settings.get("steps"):
            announce(session, tenant_id, Work.CASCADE, run_id)


def cancel_run(session: Session, tenant_id: int, run_id: int) -> None:
    """Stop a run for good; what has left stays, what is on its way is still recorded.

    Of a large run the first blocks are cancelled here and the rest by a worker.
    """
    run = get_run(session, tenant_id, run_id, lock=True)
    if run.status not in UNFINISHED:
        raise ConflictError("The mailing has ended already, so it cannot be cancelled.")
    run.status = RunStatus.CANCELLED
    withdraw(session, tenant_id, Work.COLLECT, run_id)
    announce(session, tenant_id, Work.SEND, run_id)
    session.flush()
    cancel_waiting(session.connection(), tenant_id, run_id, run.launched_on)
    finish_if_done(session, tenant_id, run_id)


def finish_if_done(session: Session, tenant_id: int, run_id: int) -> bool:
    """End a run of which no block is left, and tell whether it has ended."""
    run = get_run(session, tenant_id, run_id, lock=True)
    if run.finished_at:
        return True
    if run.status not in (RunStatus.SENDING, RunStatus.CANCELLED):
        return False
    session.flush()
    if not is_finished(session.connection(), tenant_id, run_id) or may_move(session, run):
        return False
    if run.status == RunStatus.SENDING:
        run.status = RunStatus.SENT
    run.finished_at = datetime.now(UTC)
    keep_figures(session.connection(), tenant_id, [run_id])
    withdraw(session, tenant_id, Work.SEND, run_id)
    if run.kind == RunKind.MAILING:
        announce(session, tenant_id, Work.REPORT, run_id)
    return True


def may_move(session: Session, run: Run) -> bool:
    """Whether some of a run's messages may still be followed by one of the next step."""
    c = table(RunBlock).c
    if run.status == RunStatus.CANCELLED or not run.settings.get("steps"):
        return False
    if run.expires_at and run.expires_at <= datetime.now(UTC):
        return False
    query = select(c.number).where(
        c.tenant_id == run.tenant_id, c.run_id == run.id, c.moves_at.is_not(None)
    )
    return session.scalar(query.limit(1)) is not None


def settle(
    session: Session,
    tenant_id: int,
    run_id: int,
    not_before: Mapping[int, datetime] = MappingProxyType({}),
) -> None:
    """See what is left of a run of which nothing can be sent now, and when to look again.

    Messages of the steps in `not_before` cannot leave earlier than that.

    The announcement goes before the look: a sender that gives a block back meanwhile is waited
    for and its block is seen, or it announces after us. The other way round its announcement
    would be lost.
    """
    run = get_run(session, tenant_id, run_id, lock=True)
    connection = session.connection()
    withdraw(session, tenant_id, Work.SEND, run_id)
    more = run.status == RunStatus.CANCELLED and cancel_waiting(
        connection, tenant_id, run_id, run.launched_on
    )
    if finish_if_done(session, tenant_id, run_id):
        return
    if run.status in (RunStatus.SENDING, RunStatus.CANCELLED):
        now = datetime.now(UTC)
        # What is cancelled need not wait until it would have been due.
        next_at = now if more else next_due(connection, tenant_id, run_id, not_before)
        again_at = next_at or now + LOOK_AGAIN
        announce(session, tenant_id, Work.SEND, run_id, again_at, urgent=_is_urgent(run))


def _is_urgent(run: Run) -> bool:
    """Whether a run goes before others of its company: somebody waits for its messages."""
    return run.kind == RunKind.TEST or bool(run.settings.get("is_service"))


def progress(session: Session, tenant_id: int, run_id: int) -> Progress:
    """Count the recipients by state."""
    run = get_run(session, tenant_id, run_id)
    c = people_of(run).c
    query = (
        select(c.state, func.count())
        .where(of_run(run), c.state.in_(sorted(RECIPIENT_STATES)))
        .group_by(c.state)
    )
    return Progress(**{MessageState(s).name.lower(): n for s, n in session.execute(query)})


def store_links(
    session: Session,
    tenant_id: int,
    run_id: int,
    variant: int,
    targets: Sequence[str],
    step: int = 1,
) -> None:
    """Keep the targets of a compiled variant; every sender finds the same and may repeat it."""
    if not targets:
        return
    rows = [
        {
            "tenant_id": tenant_id,
            "run_id": run_id,
            "step": step,
            "variant": variant,
            "number": number,
            "target": target,
        }
        for number, target in enumerate(targets)
    ]
    session.execute(upsert(table(Link)).on_conflict_do_nothing(), rows)
