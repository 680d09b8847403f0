"""Starting mailings and steering them: count, confirm, undo, launch, pause, resume, cancel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from envoi.audience.estimate import Answer, Share, Volume, balance, estimate, why
from envoi.audience.request import AudienceRequest
from envoi.customers.models import Customer
from envoi.db import table
from envoi.delivery.gateways import default_gateway
from envoi.delivery.models import RunKind
from envoi.delivery.runs import (
    RunSettings,
    VariantContent,
    cancel_run,
    create_run,
    pause_run,
    resume_run,
)
from envoi.errors import ConflictError, NotFoundError, Problem, ValidationFailedError
from envoi.installation import Installation
from envoi.jobs import Work, announce, hint, withdraw
from envoi.mailings.content import content_problem
from envoi.mailings.models import Mailing, MailingState
from envoi.mailings.service import current_status, get_mailing, variants_of
from envoi.mailings.status import Status
from envoi.plugins import Plugins
from envoi.policies.models import Policy
from envoi.segments.models import Segment
from envoi.settings import Settings


@dataclass(frozen=True)
class Check:
    """One check of the review: what it is about and, when it failed, what to do."""

    name: str
    step: str
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether the check passed."""
        return not self.problem


def audience_request(
    session: Session, plugins: Plugins, tenant_id: int, mailing: Mailing, now: datetime
) -> AudienceRequest:
    """Put together everything that decides who gets the mailing."""
    spec = plugins.channels[mailing.channel]
    policy = session.get(Policy, (tenant_id, mailing.policy_id)) if mailing.policy_id else None
    return AudienceRequest(
        tenant_id=tenant_id,
        channel=mailing.channel,
        address_kind=spec.address_kind,
        tree=_tree(session, mailing),
        rules=tuple(policy.rules) if policy else (),
        category_id=mailing.category_id,
        control_share=mailing.control_share,
        strata=tuple(mailing.strata),
        one_per_address=mailing.one_per_address,
        shares=tuple(v.share for v in variants_of(session, mailing)),
        seed=mailing.id,
        now=now,
    )


def estimate_mailing(
    session: Session, plugins: Plugins, tenant_id: int, mailing_id: int, now: datetime | None = None
) -> Volume:
    """Count who would get the mailing now, keep the numbers with it, and return them."""
    mailing = get_mailing(session, tenant_id, mailing_id)
    request = audience_request(session, plugins, tenant_id, mailing, now or datetime.now(UTC))
    volume = estimate(session.connection(), plugins, request)
    mailing.volume = volume.as_document()
    return volume


def balance_of(
    session: Session, plugins: Plugins, mailing: Mailing
) -> list[tuple[str, list[Share]]]:
    """Compare recipients and control group by each characteristic that strata are made of."""
    request = audience_request(session, plugins, mailing.tenant_id, mailing, datetime.now(UTC))
    connection = session.connection()
    return [(name, balance(connection, plugins, request, name)) for name in mailing.strata]


def why_not(
    session: Session, plugins: Plugins, mailing: Mailing, wanted: str
) -> tuple[Customer, Answer | None]:
    """Say what would become of one customer, named by external id or email address.

    Raises:
        NotFoundError: There is no such customer.
    """
    c = table(Customer).c
    named = or_(c.external_id == wanted, c.email == wanted.lower())
    query = select(Customer).where(c.tenant_id == mailing.tenant_id, named).order_by(c.id).limit(1)
    customer = session.scalars(query).first()
    if customer is None:
        raise NotFoundError(f"No customer has the id or email address {wanted}.")
    request = audience_request(session, plugins, mailing.tenant_id, mailing, datetime.now(UTC))
    return customer, why(session.connection(), plugins, request, customer.id)


def review(session: Session, plugins: Plugins, mailing: Mailing) -> list[Check]:
    """Return every check that a mailing must pass before it can start, passed or not."""
    has_segment = mailing.segment_id is not None
    gateway = default_gateway(session, mailing.tenant_id, mailing.channel)
    return [
        Check("segment", "who", "" if has_segment else "Choose a segment: who is to get it?"),
        Check("content", "what", content_problem(session, plugins, mailing)),
        Check(
            "gateway",
            "when",
            "" if gateway else "There is no gateway for this channel. Set one up in Settings.",
        ),
        Check("start", "when", _start_problem(mailing)),
    ]


def confirm(
    session: Session,
    plugins: Plugins,
    settings: Settings,
    tenant_id: int,
    mailing_id: int,
    *,
    recipients: int,
    account_id: int | None = None,
    now: datetime | None = None,
) -> Mailing:
    """Confirm the start; from here the mailing is Created and waits for its time.

    Args:
        recipients: The number the person saw and typed.

    Raises:
        ConflictError: The mailing is no draft, or the number of recipients has changed since.
        ValidationFailedError: A check of the review failed.
    """
    now = now or datetime.now(UTC)
    mailing = get_mailing(session, tenant_id, mailing_id, lock=True)
    if mailing.state != MailingState.DRAFT:
        raise ConflictError("This mailing has already been confirmed.")
    failed = [Problem(c.step, c.problem) for c in review(session, plugins, mailing) if c.problem]
    if failed:
        raise ValidationFailedError(failed)
    volume = estimate_mailing(session, plugins, tenant_id, mailing_id, now)
    if volume.recipients != recipients:
        raise ConflictError(
            f"The number of recipients has changed from {recipients:,} to {volume.recipients:,}"
            " since it was counted. Nothing was sent. Look at the new number and confirm again."
        )
    mailing.state = MailingState.CREATED
    mailing.confirmed_at, mailing.confirmed_by = now, account_id
    mailing.confirmed_count = recipients
    mailing.starts_at = mailing.starts_at or now + timedelta(seconds=settings.undo_seconds)
    mailing.version += 1
    announce(session, tenant_id, Work.LAUNCH, mailing_id, mailing.starts_at)
    return mailing


def undo(session: Session, settings: Settings, tenant_id: int, mailing_id: int) -> Mailing:
    """Take the confirmation back while nothing has started; the mailing is a draft again.

    A start that a person chose stays chosen; one that followed from "now" is forgotten.
    """
    mailing = get_mailing(session, tenant_id, mailing_id, lock=True)
    if mailing.state != MailingState.CREATED:
        raise ConflictError("It is too late to undo: the mailing has started. It can be paused.")
    grace = timedelta(seconds=settings.undo_seconds)
    if mailing.confirmed_at and mailing.starts_at == mailing.confirmed_at + grace:
        mailing.starts_at = None
    mailing.state = MailingState.DRAFT
    mailing.confirmed_at = mailing.confirmed_by = mailing.confirmed_count = None
    mailing.version += 1
    withdraw(session, tenant_id, Work.LAUNCH, mailing_id)
    return mailing


def launch_due(installation: Installation, tenant_id: int, mailing_id: int) -> int | None:
    """Launch a confirmed mailing whose time has come and return its run, or None.

    The mailing's row is locked, so that of many who try at once one launches it.
    """
    now = datetime.now(UTC)
    plugins = installation.plugins
    with installation.database.tenant_session(tenant_id) as session:
        c = table(Mailing).c
        query = (
            select(Mailing).where(c.tenant_id == tenant_id, c.id == mailing_id).with_for_update()
        )
        mailing = session.scalar(query)
        if mailing is None or mailing.state != MailingState.CREATED:
            withdraw(session, tenant_id, Work.LAUNCH, mailing_id)
            return None
        if mailing.starts_at and mailing.starts_at > now:
            return None
        run_id = _launch(session, plugins, installation.settings, mailing, now)
    hint(installation.broker, Work.COLLECT, tenant_id, run_id)
    return run_id


def launch_draft(
    session: Session,
    plugins: Plugins,
    settings: Settings,
    tenant_id: int,
    mailing_id: int,
    at: datetime,
) -> int:
    """Launch a draft without waiting, dated `at`, and return its run; for demo and benchmarks."""
    mailing = get_mailing(session, tenant_id, mailing_id, lock=True)
    volume = estimate_mailing(session, plugins, tenant_id, mailing_id)
    mailing.confirmed_at = mailing.starts_at = at
    mailing.confirmed_count = volume.recipients
    return _launch(session, plugins, settings, mailing, at)


def pause(session: Session, tenant_id: int, mailing_id: int, reason: str) -> None:
    """Stop sending after the blocks on their way; raise `ConflictError` if nothing runs."""
    mailing = get_mailing(session, tenant_id, mailing_id, lock=True)
    _require_status(session, mailing, {Status.COLLECTING, Status.SENDING}, "paused")
    assert mailing.run_id is not None
    pause_run(session, tenant_id, mailing.run_id, reason)


def resume(session: Session, tenant_id: int, mailing_id: int) -> None:
    """Go on with a paused mailing."""
    mailing = get_mailing(session, tenant_id, mailing_id, lock=True)
    _require_status(session, mailing, {Status.PAUSED}, "resumed")
    assert mailing.run_id is not None
    resume_run(session, tenant_id, mailing.run_id)


def cancel(session: Session, tenant_id: int, mailing_id: int) -> None:
    """Stop a mailing for good; what has left stays counted, the rest will not leave."""
    mailing = get_mailing(session, tenant_id, mailing_id, lock=True)
    if mailing.state == MailingState.CREATED:
        mailing.state = MailingState.CANCELLED
        withdraw(session, tenant_id, Work.LAUNCH, mailing_id)
        return
    _require_status(
        session, mailing, {Status.COLLECTING, Status.SENDING, Status.PAUSED}, "cancelled"
    )
    assert mailing.run_id is not None
    cancel_run(session, tenant_id, mailing.run_id)


def _launch(
    session: Session, plugins: Plugins, settings: Settings, mailing: Mailing, now: datetime
) -> int:
    gateway = default_gateway(session, mailing.tenant_id, mailing.channel)
    request = audience_request(session, plugins, mailing.tenant_id, mailing, now)
    run = create_run(
        session,
        mailing.tenant_id,
        mailing_id=mailing.id,
        kind=RunKind.MAILING,
        channel=mailing.channel,
        gateway_id=gateway.id if gateway else None,
        settings=_run_settings(session, settings, mailing, request),
        now=now,
        seed=request.seed,
    )
    mailing.state, mailing.run_id = MailingState.LAUNCHED, run.id
    withdraw(session, mailing.tenant_id, Work.LAUNCH, mailing.id)
    announce(session, mailing.tenant_id, Work.COLLECT, run.id)
    return run.id


def _run_settings(
    session: Session, settings: Settings, mailing: Mailing, request: AudienceRequest
) -> RunSettings:
    variants = variants_of(session, mailing)
    return RunSettings(
        tree=request.tree,
        rules=list(request.rules),
        category_id=mailing.category_id,
        control_share=mailing.control_share,
        strata=list(mailing.strata),
        one_per_address=mailing.one_per_address,
        attribution_days=mailing.attribution_days,
        lifetime_minutes=mailing.lifetime_minutes,
        variants=[
            VariantContent(number=v.number, share=v.share, content=v.content) for v in variants
        ],
        message_domain=settings.message_domain,
        links_url=settings.links_url,
        block_size=settings.block_size,
    )


def _tree(session: Session, mailing: Mailing) -> dict[str, object] | None:
    if mailing.segment_id is None:
        return None
    segment = session.get(Segment, (mailing.tenant_id, mailing.segment_id))
    return segment.tree if segment else None


def _start_problem(mailing: Mailing) -> str:
    if mailing.starts_at and mailing.starts_at < datetime.now(UTC) - timedelta(minutes=1):
        return "The chosen start is in the past. Choose a later one, or start now."
    return ""


def _require_status(session: Session, mailing: Mailing, wanted: set[Status], what: str) -> None:
    status = current_status(session, mailing)
    if status not in wanted:
        raise ConflictError(f"This mailing is {status.value} and cannot be {what}.")
