"""Large mailings are started by a senior, or by two people: asking, sending back, approving."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Self

from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from envoi.accounts.models import Membership
from envoi.accounts.permissions import Role, allows
from envoi.errors import ConflictError, ForbiddenError, Problem, ValidationFailedError
from envoi.mailings.models import Mailing
from envoi.mailings.service import editable_draft, get_mailing
from envoi.tenants.service import tenant_settings

MOST_GROWTH = 0.05
"""An approved mailing that has grown by more than this share asks again."""
_LONGEST = 1_000


class Approval(BaseModel):
    """What a second person is asked, stored as `mailing.approval`; it holds for one version."""

    model_config = ConfigDict(frozen=True)

    asked_by: int
    asked_at: datetime
    version: int
    recipients: int
    comment: str = ""
    declined_by: int | None = None
    declined_at: datetime | None = None
    reason: str = ""

    @classmethod
    def of(cls, mailing: Mailing) -> Self | None:
        """Return what was asked last of a mailing, if anything was."""
        return cls.model_validate(mailing.approval) if mailing.approval else None

    def waits_for(self, mailing: Mailing) -> bool:
        """Whether it is open; a change of the mailing makes it void."""
        return self.declined_by is None and self.version == mailing.version


def is_large(session: Session, tenant_id: int, recipients: int) -> bool:
    """Whether so many recipients are above the company's threshold."""
    return recipients > tenant_settings(session, tenant_id).approval_from


def needs_another(
    session: Session, mailing: Mailing, account_id: int | None, *, may_start_large: bool
) -> bool:
    """Whether this person cannot start the large mailing without somebody else."""
    if not may_start_large:
        return True
    if not tenant_settings(session, mailing.tenant_id).approval_always:
        return False
    asked = Approval.of(mailing)
    return asked is None or not asked.waits_for(mailing) or asked.asked_by == account_id


def require_approved(
    session: Session,
    mailing: Mailing,
    recipients: int,
    account_id: int | None,
    *,
    may_start_large: bool,
) -> None:
    """Raise `ForbiddenError` where somebody else has to start this many recipients."""
    if not is_large(session, mailing.tenant_id, recipients):
        return
    if needs_another(session, mailing, account_id, may_start_large=may_start_large):
        most = tenant_settings(session, mailing.tenant_id).approval_from
        raise ForbiddenError(
            f"This mailing has more than {most:,} recipients, so that another person has to"
            " approve it. Ask for approval: a Senior marketer or an Administrator starts it then."
            " Nothing was sent."
        )


def ask_approval(
    session: Session, tenant_id: int, mailing_id: int, *, account_id: int, comment: str = ""
) -> Approval:
    """Ask a second person to start a draft as it stands, with the number counted last.

    Raises:
        ConflictError: The mailing is no draft any more, or was not counted.
    """
    mailing = editable_draft(session, tenant_id, mailing_id)
    if not mailing.volume:
        raise ConflictError("The recipients are not counted yet. Count them, then ask.")
    asked = Approval(
        asked_by=account_id,
        asked_at=datetime.now(UTC),
        version=mailing.version,
        recipients=mailing.volume["recipients"],
        comment=comment.strip()[:_LONGEST],
    )
    mailing.approval = asked.model_dump(mode="json")
    return asked


def decline(
    session: Session, tenant_id: int, mailing_id: int, *, account_id: int | None, reason: str
) -> None:
    """Send a mailing back to who asked, with the reason.

    Raises:
        ConflictError: Nothing is asked of this mailing any more.
        ValidationFailedError: There is no reason.
    """
    mailing = get_mailing(session, tenant_id, mailing_id, lock=True)
    asked = Approval.of(mailing)
    if asked is None or not asked.waits_for(mailing):
        raise ConflictError("Nobody waits for an approval of this mailing any more.")
    if not reason.strip():
        raise ValidationFailedError([Problem("reason", "Say why, so that it can be mended.")])
    answer = {"declined_by": account_id or 0, "declined_at": datetime.now(UTC)}
    declined = asked.model_copy(update={**answer, "reason": reason.strip()[:_LONGEST]})
    mailing.approval = declined.model_dump(mode="json")


def most_recipients(session: Session, mailing: Mailing) -> int | None:
    """Return how many may get a confirmed mailing at most before it asks (again).

    None where who confirmed it may start any number alone. A segment can be changed between
    the confirmation and the start, also by somebody who may not start large mailings.
    """
    settings = tenant_settings(session, mailing.tenant_id)
    alone = not settings.approval_always and _starts_large(session, mailing)
    if mailing.confirmed_count is None or (alone and not mailing.approval):
        return None
    if mailing.confirmed_count <= settings.approval_from:
        return settings.approval_from
    return int(mailing.confirmed_count * (1 + MOST_GROWTH))


def require_moved_alone(
    session: Session, mailing: Mailing, account_id: int | None, *, may_start_large: bool
) -> None:
    """Raise `ForbiddenError` where somebody else approved the start that is to be moved."""
    if mailing.confirmed_count is None:
        return
    large = is_large(session, mailing.tenant_id, mailing.confirmed_count)
    if large and needs_another(session, mailing, account_id, may_start_large=may_start_large):
        raise ForbiddenError(
            "This large mailing is to start at the time that was approved. Undo its start, choose"
            " another one in its third step, then ask for approval again."
        )


def ask_again(mailing: Mailing, recipients: int, account_id: int | None) -> None:
    """Have an outgrown mailing, a draft again, ask with the new number.

    Who asked before asks again; where nobody had to, it is `account_id`, who confirmed it.
    """
    before = Approval.of(mailing)
    renewed = Approval(
        asked_by=before.asked_by if before else account_id or 0,
        asked_at=datetime.now(UTC),
        version=mailing.version,
        recipients=recipients,
        comment=before.comment if before else "",
    )
    mailing.approval = renewed.model_dump(mode="json")


def _starts_large(session: Session, mailing: Mailing) -> bool:
    """Whether who confirmed a mailing may start large ones; the command line may."""
    if mailing.confirmed_by is None:
        return True
    membership = session.get(Membership, (mailing.tenant_id, mailing.confirmed_by))
    return membership is not None and allows(Role(membership.role), "mailings.start_large")
