"""Starting mailings and steering them: confirm, undo, launch, pause, resume, cancel."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.audience.request import AudienceRequest
from envoi.db import table
from envoi.delivery.gateways import default_gateway
from envoi.delivery.limits import limits_of
from envoi.delivery.models import Gateway, RunKind
from envoi.delivery.runs import (
    RunSettings,
    VariantContent,
    cancel_run,
    create_run,
    pause_run,
    resume_run,
)
from envoi.delivery.steps import StepContent, Success
from envoi.errors import ConflictError, Problem, ValidationFailedError
from envoi.failpoints import Place, hit
from envoi.installation import Installation
from envoi.jobs import Work, announce, hint, withdraw
from envoi.mailings.approval import (
    ask_again,
    most_recipients,
    require_approved,
    require_moved_alone,
)
from envoi.mailings.audience import audience_request, estimate_mailing, require_few_strata
from envoi.mailings.cascade import following
from envoi.mailings.content import final_content
from envoi.mailings.copies import copy_to_watchers
from envoi.mailings.models import Mailing, MailingState, Variant
from envoi.mailings.review import failed, review
from envoi.mailings.service import current_status, get_mailing, variants_of
from envoi.mailings.status import STOPPABLE, Status
from envoi.plugins import Plugins
from envoi.settings import Settings
from envoi.subscriptions.models import MailingCategory
from envoi.tenants.service import tenant_settings
from envoi.types import AddressKind

SMALLEST_BLOCK = 5
BLOCK_SECONDS = 2
"""A block of a slow gateway holds what a sender may send in about so long."""


class RecipientsChangedError(ConflictError):
    """There are more or fewer recipients than the person saw; carries both numbers."""

    def __init__(self, seen: int, found: int) -> None:
        super().__init__(
            f"The number of recipients has changed from {seen:,} to {found:,} since it was"
            " counted. Nothing was sent. Look at the new number and confirm again."
        )
        self.seen, self.found = seen, found


def undo_window(session: Session, settings: Settings, tenant_id: int) -> timedelta:
    """Return for how long a start "now" can be undone: as the company chose, or else all do."""
    chosen = tenant_settings(session, tenant_id).undo_seconds
    return timedelta(seconds=settings.undo_seconds if chosen is None else chosen)


def confirm(
    session: Session,
    plugins: Plugins,
    settings: Settings,
    tenant_id: int,
    mailing_id: int,
    *,
    recipients: int,
    version: int | None = None,
    account_id: int | None = None,
    may_start_large: bool = True,
    now: datetime | None = None,
) -> Mailing:
    """Confirm the start; from here the mailing is Created and waits for its time.

    However often a person asks for the same start, it is confirmed once and every time answered
    alike.

    Args:
        recipients: The number the person saw and typed.
        version: The version the person saw; None confirms the mailing as it is saved.
        may_start_large: Whether the person may start mailings above the company's threshold.

    Raises:
        ConflictError: The mailing is no draft any more, or has another version.
        RecipientsChangedError: The number of recipients has changed since.
        ForbiddenError: There are more recipients than the person may send to alone.
        ValidationFailedError: A check of the review failed.
    """
    now = now or datetime.now(UTC)
    mailing = get_mailing(session, tenant_id, mailing_id, lock=True)
    if _is_same_wish(mailing, recipients, version, account_id):
        return mailing
    _require_draft(mailing, version)
    _require_recipients(session, plugins, mailing, recipients, now)
    require_approved(session, mailing, recipients, account_id, may_start_large=may_start_large)
    mailing.state = MailingState.CREATED
    mailing.confirmed_at, mailing.confirmed_by = now, account_id
    mailing.confirmed_count = recipients
    mailing.starts_at = mailing.starts_at or now + undo_window(session, settings, tenant_id)
    mailing.version += 1
    announce(session, tenant_id, Work.LAUNCH, mailing_id, mailing.starts_at)
    return mailing


def _require_draft(mailing: Mailing, version: int | None) -> None:
    if mailing.state != MailingState.DRAFT:
        raise ConflictError("This mailing has already been confirmed.")
    if version not in (None, mailing.version):
        raise ConflictError(
            "The mailing was changed after this page was shown. Nothing was sent. Look at it"
            " again, then confirm."
        )


def _require_recipients(
    session: Session, plugins: Plugins, mailing: Mailing, recipients: int, now: datetime
) -> None:
    """Raise unless every check of the review passes and so many recipients are found again."""
    if problems := failed(review(session, plugins, mailing)):
        raise ValidationFailedError([Problem(check.step, check.problem) for check in problems])
    volume = estimate_mailing(session, plugins, mailing.tenant_id, mailing.id, now)
    require_few_strata(volume)
    if volume.recipients != recipients:
        raise RecipientsChangedError(recipients, volume.recipients)


def undo(session: Session, settings: Settings, tenant_id: int, mailing_id: int) -> Mailing:
    """Take the confirmation back while nothing has started; the mailing is a draft again.

    A start that a person chose stays chosen; one that followed from "now" is forgotten.
    """
    mailing = get_mailing(session, tenant_id, mailing_id, lock=True)
    if mailing.state != MailingState.CREATED:
        raise ConflictError("It is too late to undo: the mailing has started. It can be paused.")
    grace = undo_window(session, settings, tenant_id)
    if mailing.confirmed_at and mailing.starts_at == mailing.confirmed_at + grace:
        mailing.starts_at = None
    _back_to_draft(session, mailing)
    return mailing


def is_missed(mailing: Mailing, now: datetime) -> bool:
    """Whether a confirmed mailing is later than its messages' lifetime.

    Nobody wants yesterday's breakfast offer: it does not start by itself any more, for example
    after the installation was down; a person may start it, or take it back.
    """
    if mailing.state != MailingState.CREATED or mailing.starts_at is None:
        return False
    return now >= mailing.starts_at + timedelta(minutes=mailing.lifetime_minutes)


def start_now(
    session: Session,
    tenant_id: int,
    mailing_id: int,
    *,
    account_id: int | None = None,
    may_start_large: bool = True,
) -> Mailing:
    """Start a confirmed mailing that has missed its time; its lifetime begins now.

    Raises:
        ConflictError: It has not missed its start.
        ForbiddenError: Another person approved the start.
    """
    now = datetime.now(UTC)
    mailing = get_mailing(session, tenant_id, mailing_id, lock=True)
    if not is_missed(mailing, now):
        raise ConflictError("This mailing has not missed its start, so nothing was changed.")
    require_moved_alone(session, mailing, account_id, may_start_large=may_start_large)
    mailing.starts_at = now
    mailing.version += 1
    announce(session, tenant_id, Work.LAUNCH, mailing_id)
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
        if mailing is None or mailing.state != MailingState.CREATED or is_missed(mailing, now):
            withdraw(session, tenant_id, Work.LAUNCH, mailing_id)
            return None
        if mailing.starts_at and mailing.starts_at > now:
            return None
        if _has_outgrown(session, plugins, mailing, now):
            return None
        run_id = _launch(session, plugins, installation.settings, mailing, now)
        hit(Place.BEFORE_LAUNCH_COMMIT)
    hit(Place.AFTER_LAUNCH_COMMIT)
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
    _require_status(session, mailing, STOPPABLE, "cancelled")
    assert mailing.run_id is not None
    cancel_run(session, tenant_id, mailing.run_id)


def _is_same_wish(
    mailing: Mailing, recipients: int, version: int | None, account_id: int | None
) -> bool:
    """Whether a mailing was confirmed by the same person, who saw the same."""
    if mailing.state not in (MailingState.CREATED, MailingState.LAUNCHED):
        return False
    # The confirmation itself has counted the version on.
    as_seen = version in (None, mailing.version - 1)
    return as_seen and (mailing.confirmed_count, mailing.confirmed_by) == (recipients, account_id)


def _has_outgrown(session: Session, plugins: Plugins, mailing: Mailing, now: datetime) -> bool:
    """Count once more what may not grow; a mailing that has is a draft that asks for approval."""
    most = most_recipients(session, mailing)
    if most is None:
        return False
    recipients = estimate_mailing(session, plugins, mailing.tenant_id, mailing.id, now).recipients
    if recipients <= most:
        return False
    confirmed_by = mailing.confirmed_by
    # The chosen moment has come: who approves it starts it then.
    mailing.starts_at = None
    _back_to_draft(session, mailing)
    ask_again(mailing, recipients, confirmed_by)
    return True


def _back_to_draft(session: Session, mailing: Mailing) -> None:
    mailing.state = MailingState.DRAFT
    mailing.confirmed_at = mailing.confirmed_by = mailing.confirmed_count = None
    mailing.version += 1
    withdraw(session, mailing.tenant_id, Work.LAUNCH, mailing.id)


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
        settings=_run_settings(session, plugins, settings, mailing, request, gateway),
        now=now,
        seed=request.seed,
    )
    mailing.state, mailing.run_id = MailingState.LAUNCHED, run.id
    withdraw(session, mailing.tenant_id, Work.LAUNCH, mailing.id)
    announce(session, mailing.tenant_id, Work.COLLECT, run.id)
    copy_to_watchers(session, plugins, settings, mailing)
    return run.id


def _run_settings(
    session: Session,
    plugins: Plugins,
    settings: Settings,
    mailing: Mailing,
    request: AudienceRequest,
    gateway: Gateway | None,
) -> RunSettings:
    variants = variants_of(session, mailing)
    category = session.get(MailingCategory, (mailing.tenant_id, mailing.category_id or 0))
    return RunSettings(
        tree=request.tree,
        rules=list(request.rules),
        category_id=mailing.category_id,
        control_share=mailing.control_share,
        control_audience_id=mailing.control_audience_id,
        strata=list(mailing.strata),
        one_per_address=mailing.one_per_address,
        attribution_days=mailing.attribution_days,
        attribution_from=mailing.attribution_from,
        attribution_until=mailing.attribution_until,
        attribution_conditions=mailing.attribution_conditions,
        lifetime_minutes=mailing.lifetime_minutes,
        limit_per_minute=mailing.limit_per_minute,
        window_from=mailing.window_from,
        window_until=mailing.window_until,
        window_zone=mailing.window_zone,
        variants=[
            VariantContent(
                number=v.number,
                share=v.share,
                content=final_content(session, plugins, mailing, v),
            )
            for v in variants
        ],
        steps=_steps(session, plugins, mailing, variants),
        message_domain=settings.message_domain,
        links_url=settings.links_url,
        block_size=_block_size(settings, gateway),
        is_service=category is not None and category.exempt,
        resends_unconfirmed=plugins.channels[mailing.channel].resends_unconfirmed,
        most_recipients=most_recipients(session, mailing),
        budget=mailing.budget,
    )


def _steps(
    session: Session, plugins: Plugins, mailing: Mailing, variants: Sequence[Variant]
) -> list[StepContent]:
    """Freeze the cascade's further steps with their gateways and contents."""
    frozen = []
    before = plugins.channels[mailing.channel]
    for number, step in enumerate(following(mailing), start=2):
        success = Success(step.success)
        if success is Success.DELIVERED and before.address_kind is AddressKind.EMAIL:
            success = Success.TAKEN
        before = plugins.channels[step.channel]
        gateway = default_gateway(session, mailing.tenant_id, step.channel)
        frozen.append(
            StepContent(
                channel=step.channel,
                wait_minutes=step.wait_minutes,
                success=success,
                gateway_id=gateway.id if gateway else None,
                resends_unconfirmed=before.resends_unconfirmed,
                contents=[final_content(session, plugins, mailing, v, number) for v in variants],
            )
        )
    return frozen


def _block_size(settings: Settings, gateway: Gateway | None) -> int:
    """Give a slow gateway small blocks: what a sender cannot send in time it claims in vain."""
    rate = limits_of(gateway).rate if gateway else None
    if rate is None:
        return settings.block_size
    senders = settings.worker_processes * settings.worker_threads
    return max(SMALLEST_BLOCK, min(settings.block_size, int(BLOCK_SECONDS * rate / senders)))


def _require_status(
    session: Session, mailing: Mailing, wanted: Collection[Status], what: str
) -> None:
    status = current_status(session, mailing)
    if status not in wanted:
        raise ConflictError(f"This mailing is {status.value} and cannot be {what}.")
