"""What a person does with messages of which nobody knows whether they arrived."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Response, url_for
from flask_babel import ngettext
from sqlalchemy.orm import Session

from envoi.delivery import unconfirmed
from envoi.delivery.models import Run
from envoi.errors import ConflictError
from envoi.jobs import Work, hint
from envoi.mailings import service
from envoi.mailings.launch import undo_window
from envoi.webkit import current, permission, see_other, toast
from envoi.webkit.formats import number
from envoi_web.reports.blueprint import reports


@reports.post("/<int:mailing_id>/unconfirmed/resend")
@permission("mailings.start")
def resend_unconfirmed(mailing_id: int) -> Response:
    """Send what is unconfirmed again, after the time in which that can be taken back."""
    with current.session() as session:
        run, tenant_id = _run(session, mailing_id), current.tenant_id
        due_at = datetime.now(UTC) + undo_window(session, current.settings, tenant_id)
        found = unconfirmed.resend(session, tenant_id, run.id, due_at)
    hint(current.installation.broker, Work.REPORT, tenant_id, run.id)
    count = number(found)
    toast(
        ngettext(
            "%(count)s message is sent again.",
            "%(count)s messages are sent again.",
            found,
            count=count,
        )
    )
    return see_other(url_for("reports.report", mailing_id=mailing_id))


@reports.post("/<int:mailing_id>/unconfirmed/leave")
@permission("mailings.start")
def leave_unconfirmed(mailing_id: int) -> Response:
    """Leave as it is what was to be sent again and no sender has taken yet."""
    with current.session() as session:
        run = _run(session, mailing_id)
        found = unconfirmed.leave(session, current.tenant_id, run.id)
    hint(current.installation.broker, Work.REPORT, current.tenant_id, run.id)
    count = number(found)
    toast(
        ngettext(
            "%(count)s message is left as it is.",
            "%(count)s messages are left as they are.",
            found,
            count=count,
        )
    )
    return see_other(url_for("reports.report", mailing_id=mailing_id))


def _run(session: Session, mailing_id: int) -> Run:
    run = service.get_run(session, service.get_mailing(session, current.tenant_id, mailing_id))
    if run is None:
        raise ConflictError("This mailing has not started, so there is nothing to report yet.")
    return run
