"""Drafts of mailings: make, change, copy, delete. Starting them is in `envoi.mailings.launch`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from envoi.audience.window import COMPANY
from envoi.db import table
from envoi.delivery.models import Run
from envoi.delivery.runs import cancel_run
from envoi.errors import ConflictError, NotFoundError
from envoi.jobs import Work, withdraw
from envoi.mailings.changes import SOURCES, MailingChanges, checked, require_parts
from envoi.mailings.models import Mailing, MailingState, Variant
from envoi.mailings.status import STOPPABLE, Status, status_of
from envoi.policies.models import Policy
from envoi.tenants.service import tenant_settings
from envoi.twice import A_MOMENT, one_by_one

_COPIED = ("channel", "cascade", *(MailingChanges.model_fields.keys() - {"name", "starts_at"}))
"""Fields of a copy; its start is chosen anew."""
_ASKED = (*SOURCES, "starts_at")
"""What a person may have chosen for a draft before it was made."""
EMAIL = "email"
"""The channel whose sender is one of the company's addresses."""
UNTITLED = "Untitled mailing"
"""What a draft without a name is called."""


class ChangedMeanwhileError(ConflictError):
    """Somebody else saved the draft since the editor looked at it."""


def create_draft(
    session: Session,
    tenant_id: int,
    *,
    channel: str,
    name: str,
    segment_id: int | None = None,
    audience_id: int | None = None,
    tree: dict[str, Any] | None = None,
    starts_at: datetime | None = None,
    account_id: int | None = None,
    window_zone: str = COMPANY,
) -> Mailing:
    """Make a draft with one empty variant, the default policy and the company's defaults.

    It goes to a segment, to a target audience, or to the customers of `tree`; of several given
    the last counts. `starts_at` is the start that a person chose, in the calendar for example;
    `window_zone` is the channel's (`ChannelSpec.window_zone`).
    """
    who = {"segment_id": segment_id, "audience_id": audience_id, "tree": tree}
    given = checked({"name": name.strip() or UNTITLED, "starts_at": starts_at, **who})
    require_parts(session, tenant_id, given)
    defaults = tenant_settings(session, tenant_id)
    mailing = Mailing(
        tenant_id=tenant_id,
        channel=channel,
        **given,
        policy_id=_default_policy(session, tenant_id),
        attribution_days=defaults.attribution_days,
        lifetime_minutes=defaults.lifetime_minutes,
        limit_per_minute=defaults.limit_per_minute,
        window_from=defaults.window_from,
        window_until=defaults.window_until,
        window_zone=window_zone if defaults.window_from is not None else COMPANY,
        watcher_group_id=defaults.watcher_group_id,
        created_by=account_id,
    )
    session.add(mailing)
    session.flush()
    content = usual_sender(session, tenant_id, channel)
    session.add(Variant(tenant_id=tenant_id, mailing_id=mailing.id, number=1, content=content))
    session.flush()
    return mailing


def usual_sender(session: Session, tenant_id: int, channel: str) -> dict[str, str]:
    """Return who a new message is from: the company, or as in the channel's latest mailing."""
    company = tenant_settings(session, tenant_id)
    if channel == EMAIL:
        return {"sender_name": company.sender_name, "sender_address": company.sender_address}
    if usual := company.sender_names.get(channel):
        return {"sender_name": usual}
    c, v = table(Mailing).c, table(Variant).c
    name = v.content["sender_name"].astext
    latest = (
        select(name)
        .join_from(
            table(Mailing),
            table(Variant),
            and_(v.tenant_id == c.tenant_id, v.mailing_id == c.id, v.number == 1),
        )
        .where(c.tenant_id == tenant_id, c.channel == channel, name != "")
        .order_by(c.created_at.desc(), c.id.desc())
        .limit(1)
    )
    found = session.scalar(latest)
    return {"sender_name": found} if found else {}


def just_drafted(
    session: Session,
    tenant_id: int,
    channel: str,
    name: str,
    account_id: int | None,
    **asked: Any,
) -> Mailing | None:
    """Return the draft that this person asked for a moment ago in the same words.

    A form was sent twice then. `asked` are further fields of `create_draft`, as they are given
    there; drafts of other people, or asked for otherwise, are others.
    """
    unasked = dict.fromkeys(_ASKED)
    wanted = {"channel": channel, "name": name.strip() or UNTITLED, **unasked, **asked}
    return next(iter(_recent_drafts(session, tenant_id, account_id, wanted)), None)


def copy_mailings(
    session: Session, tenant_id: int, ids: Sequence[int], account_id: int | None = None
) -> list[Mailing]:
    """Copy mailings, unless this person copied just these a moment ago: a form sent twice."""
    sources = [get_mailing(session, tenant_id, number) for number in ids]
    made = [_just_copied(session, source, account_id) for source in sources]
    found = [copy for copy in made if copy is not None]
    if len(found) == len(ids):
        return found
    return [copy_mailing(session, tenant_id, number, account_id) for number in ids]


def get_mailing(
    session: Session, tenant_id: int, mailing_id: int, *, lock: bool = False
) -> Mailing:
    """Return a mailing, or raise `NotFoundError`; `lock` keeps others from changing it."""
    found = session.get(
        Mailing, (tenant_id, mailing_id), with_for_update=lock, populate_existing=lock
    )
    if found is None or found.hidden:
        raise NotFoundError("There is no such mailing. It may have been deleted.")
    return found


def get_run(session: Session, mailing: Mailing) -> Run | None:
    """Return the run a mailing was launched as, if it was."""
    return session.get(Run, (mailing.tenant_id, mailing.run_id)) if mailing.run_id else None


def current_status(session: Session, mailing: Mailing) -> Status:
    """Return the status that a person sees."""
    return status_of(mailing, get_run(session, mailing))


def variants_of(session: Session, mailing: Mailing) -> list[Variant]:
    """Return the mailing's variants in their order."""
    c = table(Variant).c
    query = select(Variant).where(c.tenant_id == mailing.tenant_id, c.mailing_id == mailing.id)
    return list(session.scalars(query.order_by(c.number)))


def update_mailing(
    session: Session,
    tenant_id: int,
    mailing_id: int,
    version: int,
    changes: Mapping[str, Any],
    account_id: int | None = None,
) -> Mailing:
    """Change a draft.

    Args:
        version: What the editor last saw; another one means somebody else saved meanwhile.
        changes: Fields of `MailingChanges`.
        account_id: Who changes it, for the next one who is too late.

    Raises:
        ChangedMeanwhileError: Somebody else saved the draft since.
        ConflictError: It is no draft any more.
        ValidationFailedError: A value was refused.
    """
    given = checked(changes)
    mailing = editable_draft(session, tenant_id, mailing_id)
    if all(getattr(mailing, field) == value for field, value in given.items()):
        return mailing
    refuse_stale(mailing, version)
    require_parts(session, tenant_id, given)
    for field, value in given.items():
        setattr(mailing, field, value)
    touch(mailing, account_id)
    return mailing


def copy_name(source: Mailing) -> str:
    """Return what a copy of a mailing is called."""
    return f"{source.name} (copy)"[:200]


def copy_mailing(
    session: Session, tenant_id: int, mailing_id: int, account_id: int | None = None
) -> Mailing:
    """Make a draft with the same audience, content and settings, and no start."""
    source = get_mailing(session, tenant_id, mailing_id)
    copy = Mailing(
        tenant_id=tenant_id,
        name=copy_name(source),
        created_by=account_id,
        **{field: getattr(source, field) for field in _COPIED},
    )
    session.add(copy)
    session.flush()
    for variant in variants_of(session, source):
        session.add(
            Variant(
                tenant_id=tenant_id,
                mailing_id=copy.id,
                number=variant.number,
                share=variant.share,
                content=variant.content,
                steps=variant.steps,
            )
        )
    session.flush()
    return copy


def _just_copied(session: Session, source: Mailing, account_id: int | None) -> Mailing | None:
    """Two mailings may have one name; a copy is of the one that it is equal to."""
    wanted = {"name": copy_name(source), "starts_at": None}
    whole = _copied(session, source)
    recent = _recent_drafts(session, source.tenant_id, account_id, wanted)
    return next((copy for copy in recent if _copied(session, copy) == whole), None)


def _copied(session: Session, mailing: Mailing) -> list[Any]:
    variants = variants_of(session, mailing)
    contents = [(variant.share, variant.content, variant.steps) for variant in variants]
    return [*(getattr(mailing, field) for field in _COPIED), contents]


def _recent_drafts(
    session: Session, tenant_id: int, account_id: int | None, wanted: Mapping[str, Any]
) -> Sequence[Mailing]:
    one_by_one(session, "draft", tenant_id, account_id)
    c = table(Mailing).c
    mine = (c.tenant_id == tenant_id, c.created_by == account_id, c.state == MailingState.DRAFT)
    same = (c[field] == value for field, value in wanted.items())
    recent = select(Mailing).where(*mine, *same, ~c.hidden, c.created_at > func.now() - A_MOMENT)
    return session.scalars(recent.order_by(c.id.desc())).all()


def delete_mailing(session: Session, tenant_id: int, mailing_id: int) -> Status:
    """Delete a mailing and return the status it had (product reference, section 2).

    A draft or created one is removed. What is unsent of a running one is cancelled. Launched
    ones are only hidden, because attribution and frequency counts still need their messages.
    """
    mailing = get_mailing(session, tenant_id, mailing_id, lock=True)
    status = current_status(session, mailing)
    if mailing.run_id is None:
        withdraw(session, tenant_id, Work.LAUNCH, mailing_id)
        session.delete(mailing)
        session.flush()
        return status
    if status in STOPPABLE:
        cancel_run(session, tenant_id, mailing.run_id)
    mailing.hidden = True
    return status


def editable_draft(session: Session, tenant_id: int, mailing_id: int) -> Mailing:
    """Return a draft, locked; raise `ConflictError` for what is no draft any more."""
    mailing = get_mailing(session, tenant_id, mailing_id, lock=True)
    if mailing.state != MailingState.DRAFT:
        raise ConflictError(
            "This mailing is confirmed and can no longer be changed. Copy it, or undo the start."
        )
    return mailing


def refuse_stale(mailing: Mailing, version: int) -> None:
    """Refuse to write over somebody else's save; the same values again are no conflict."""
    if mailing.version != version:
        raise ChangedMeanwhileError(
            "Somebody else saved this mailing while you were editing. Nothing of yours is lost:"
            " compare with the saved version, then save again."
        )


def touch(mailing: Mailing, account_id: int | None = None) -> None:
    """Count a change, by which other editors notice it, and who made it."""
    mailing.version += 1
    mailing.updated_by = account_id
    mailing.updated_at = datetime.now(UTC)


def _default_policy(session: Session, tenant_id: int) -> int | None:
    c = table(Policy).c
    return session.scalar(select(c.id).where(c.tenant_id == tenant_id, c.is_default))
