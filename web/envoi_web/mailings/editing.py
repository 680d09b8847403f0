"""What the three steps of the editor share."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from flask import Response, request
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.accounts.models import Account
from envoi.mailings import service
from envoi.mailings.audience import estimate_for_now, estimate_mailing, has_source
from envoi.mailings.models import Mailing
from envoi.mailings.status import Status
from envoi.segments.counting import counting, sample_buckets
from envoi.webkit import current, fragment, htmx, page, see_other
from envoi_web.mailings.context import crumbs, home_url, steps, volume_data

_NOT_OURS = frozenset({"csrf_token", "version", "next"})


def not_a_draft(session: Session, mailing: Mailing) -> Response | None:
    """Lead to the page that a mailing has once it is no draft."""
    status = service.current_status(session, mailing)
    return None if status is Status.DRAFT else see_other(home_url(mailing.id, status))


def common(session: Session, mailing: Mailing, here: str) -> dict[str, Any]:
    """Make what the head of every step is given."""
    content = service.variants_of(session, mailing)[0].content
    return {
        "mailing": mailing,
        "content": content,
        "steps": steps(mailing, content, here),
        "volume": volume_data(mailing),
        "crumbs": crumbs(mailing.name, mailing.channel),
    }


def count_now(session: Session, mailing: Mailing) -> None:
    """Count the volume again, once there is somebody to count; of a large base about."""
    if not has_source(mailing):
        return
    buckets = sample_buckets(current.database, mailing.tenant_id)
    if buckets is None:
        estimate_mailing(session, current.plugins, mailing.tenant_id, mailing.id)
    else:
        estimate_for_now(session, current.plugins, mailing.tenant_id, mailing.id, buckets)


def count_exactly(mailing_id: int) -> None:
    """Count in a transaction that a newer count of the same person ends."""
    editor = f"{current.account_id}/{mailing_id}"
    with counting(current.database, current.tenant_id, editor, exact=True) as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        version = mailing.version
        if not has_source(mailing):
            return
        volume = estimate_mailing(session, current.plugins, current.tenant_id, mailing_id)
        session.expire(mailing)
        # What was counted is worth nothing once somebody has saved meanwhile.
        saved = service.get_mailing(session, current.tenant_id, mailing_id, lock=True)
        if saved.version == version:
            saved.volume = volume.as_document()


def conflict_page(
    session: Session,
    mailing: Mailing,
    rows: Iterable[tuple[str, str, str]],
    *,
    target: str,
    theirs_url: str,
) -> Response:
    """Show that somebody else saved meanwhile: who, when, both values, and what was typed.

    Args:
        session: The tenant's session.
        mailing: The draft as it was saved.
        rows: For every field that differs its label, the saved and the typed value.
        target: The id of the element that the form is shown in.
        theirs_url: Where the saved version is shown.
    """
    author = session.get(Account, mailing.updated_by) if mailing.updated_by else None
    typed = [
        (name, value)
        for name, values in request.form.lists()
        if name not in _NOT_OURS
        for value in values
    ]
    show = partial(fragment, block="conflict") if htmx.is_fragment() else page
    return show(
        "mailings/conflict.html",
        status=409,
        mailing=mailing,
        author=author.name if author else _("Somebody else"),
        rows=list(rows),
        typed=typed,
        target=target,
        theirs_url=theirs_url,
        mine_url=request.path,
        crumbs=crumbs(mailing.name, mailing.channel),
    )
