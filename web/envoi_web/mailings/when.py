"""Step 3 of the editor: start, settings, review; the confirmation and its undoing."""

from __future__ import annotations

from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.delivery.gateways import default_gateway
from envoi.errors import ConflictError, Problem, ValidationFailedError
from envoi.jobs import Work, hint
from envoi.mailings import launch, service
from envoi.mailings.models import Mailing
from envoi.mailings.review import review
from envoi.segments.models import Segment
from envoi.webkit import current, page, permission, see_other, toast
from envoi.webkit.formats import number
from envoi_web.mailings import forms
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.editing import common, count_now, not_a_draft

TYPED_ABOVE = 1_000
"""Above so many recipients the number is typed before a mailing starts."""


@mailings.get("/<int:mailing_id>/when")
@permission("mailings.edit")
def when(mailing_id: int) -> Response:
    """Show the third step: start, settings, review and checks."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        if (elsewhere := not_a_draft(session, mailing)) is not None:
            return elsewhere
        if not mailing.volume:
            count_now(session, mailing)
        return page("mailings/when.html", **_when_context(session, mailing))


@mailings.post("/<int:mailing_id>/when")
@permission("mailings.edit")
def save_when(mailing_id: int) -> Response:
    """Save start and settings, and check again."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        problems: tuple[Problem, ...] = ()
        try:
            changes = forms.when_changes(request.form, current.company.zone)
            version = forms.version_of(request.form)
            service.update_mailing(session, current.tenant_id, mailing_id, version, changes)
        except ValidationFailedError as error:
            problems = error.problems
        context = _when_context(session, mailing, problems)
        status = 422 if problems else 200
        return page("mailings/when.html", fragments=("when_form",), status=status, **context)


@mailings.post("/<int:mailing_id>/confirm")
@permission("mailings.start")
def confirm(mailing_id: int) -> Response:
    """Confirm the start with the number of recipients; refused when it has changed."""
    shown = request.form.get("recipients", 0, type=int)
    typed = forms.typed_number(request.form)
    with current.session() as session:
        if shown > TYPED_ABOVE and typed != shown:
            raise ConflictError(
                _("The number typed is not %(count)s. Nothing was sent.", count=number(shown))
            )
        confirmed = launch.confirm(
            session,
            current.plugins,
            current.settings,
            current.tenant_id,
            mailing_id,
            recipients=shown,
            account_id=current.account_id,
        )
        starts_at = confirmed.starts_at
    if starts_at is not None:
        hint(current.installation.broker, Work.LAUNCH, current.tenant_id, mailing_id)
    return see_other(url_for("mailings.progress", mailing_id=mailing_id))


@mailings.post("/<int:mailing_id>/undo")
@permission("mailings.start")
def undo(mailing_id: int) -> Response:
    """Take the confirmation back while nothing has started."""
    with current.session() as session:
        launch.undo(session, current.settings, current.tenant_id, mailing_id)
    toast(_("Undone. The mailing is a draft again."))
    return see_other(url_for("mailings.when", mailing_id=mailing_id))


def _when_context(
    session: Session, mailing: Mailing, problems: tuple[Problem, ...] = ()
) -> dict[str, Any]:
    checks = review(session, current.plugins, mailing)
    return common(session, mailing, "when") | {
        "checks": checks,
        "ready": all(c.ok for c in checks) and bool(mailing.volume),
        "segment": session.get(Segment, (mailing.tenant_id, mailing.segment_id or 0)),
        "gateway": default_gateway(session, mailing.tenant_id, mailing.channel),
        "typed_above": TYPED_ABOVE,
        "undo_seconds": current.settings.undo_seconds,
        "zone": current.company.time_zone,
        "problems": problems,
        "errors": {p.field: p.message for p in problems},
    }
