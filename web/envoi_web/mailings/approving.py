"""Asking a second person to start a large mailing, and sending one back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.accounts.models import Account
from envoi.errors import ValidationFailedError
from envoi.mailings import approval
from envoi.mailings.approval import Approval
from envoi.mailings.models import Mailing
from envoi.webkit import current, permission, see_other, toast
from envoi.webkit.formats import translated
from envoi_web.mailings.blueprint import mailings


@dataclass(frozen=True, kw_only=True)
class Question:
    """An approval as the third step tells it; `who` and `when` are of the latest word."""

    who: str
    when: datetime
    recipients: int
    comment: str
    declined: bool
    own: bool


@mailings.post("/<int:mailing_id>/approval")
@permission("mailings.start")
def ask_approval(mailing_id: int) -> Response:
    """Ask for approval of the draft as it stands."""
    assert current.account_id is not None
    comment = request.form.get("comment", "")
    with current.session() as session:
        approval.ask_approval(
            session, current.tenant_id, mailing_id, account_id=current.account_id, comment=comment
        )
    toast(_("Asked. Senior marketers and Administrators see it in the list of mailings."))
    return see_other(url_for("mailings.when", mailing_id=mailing_id))


@mailings.post("/<int:mailing_id>/decline")
@permission("mailings.start_large")
def decline(mailing_id: int) -> Response:
    """Send a mailing back to who asked."""
    reason = request.form.get("reason", "")
    try:
        with current.session() as session:
            mine = (session, current.tenant_id, mailing_id)
            approval.decline(*mine, account_id=current.account_id, reason=reason)
    except ValidationFailedError as error:
        toast(translated(error.problems[0].message))
    else:
        toast(_("Sent back."))
    return see_other(url_for("mailings.when", mailing_id=mailing_id))


def question_of(session: Session, mailing: Mailing) -> Question | None:
    """Tell what is asked of a draft, or what was answered; nothing once it was changed."""
    asked = Approval.of(mailing)
    if asked is None or asked.version != mailing.version:
        return None
    declined = asked.declined_at is not None
    author = session.get(Account, asked.declined_by if declined else asked.asked_by)
    return Question(
        who=(author.name or author.email) if author else str(_("Somebody else")),
        when=asked.declined_at or asked.asked_at,
        recipients=asked.recipients,
        comment=asked.reason if declined else asked.comment,
        declined=declined,
        own=asked.asked_by == current.account_id,
    )
