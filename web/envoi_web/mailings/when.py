"""Step 3 of the editor: start, settings, review; the confirmation and its undoing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.accounts.models import Account
from envoi.audience.volume import Volume
from envoi.audience.window import SendingWindow
from envoi.delivery.gateways import default_gateway
from envoi.errors import ConflictError, Problem, ValidationFailedError
from envoi.jobs import Work, hint
from envoi.mailings import launch, service
from envoi.mailings.approval import is_large, needs_another
from envoi.mailings.content_checks import content_checks
from envoi.mailings.costs import has_cost
from envoi.mailings.models import Mailing
from envoi.mailings.review import failed, review
from envoi.policies.models import Policy
from envoi.receipts.attribution import OPENED
from envoi.tenants.service import tenant_settings
from envoi.tenants.watchers import list_watcher_groups
from envoi.webkit import allowed, current, page, permission, require, see_other, toast
from envoi.webkit.formats import number
from envoi_web.clocks import clock_of
from envoi_web.mailings import forms, undoing
from envoi_web.mailings.approving import question_of
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.cascade import going_on_words
from envoi_web.mailings.content_words import content_faults
from envoi_web.mailings.context import options
from envoi_web.mailings.editing import common, conflict_page, count_exactly, not_a_draft
from envoi_web.mailings.limit_words import estimate_words
from envoi_web.mailings.settings_words import field_labels, review_rows, start_words, watching
from envoi_web.mailings.sources import source_of
from envoi_web.mailings.when_form import when_changes, when_values

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
        counted = Volume.from_document(mailing.volume)
    if counted is None or not counted.exact:
        # What is confirmed is a number, not about a number.
        count_exactly(mailing_id)
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        return page("mailings/when.html", **_when_context(session, mailing))


@mailings.post("/<int:mailing_id>/when")
@permission("mailings.edit")
def save_when(mailing_id: int) -> Response:
    """Save start and settings, and check again."""
    problems: tuple[Problem, ...] = ()
    try:
        _save(mailing_id)
    except service.ChangedMeanwhileError:
        return _conflict(mailing_id)
    except ValidationFailedError as error:
        problems = error.problems
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        context = _when_context(session, mailing, problems)
        status = 422 if problems else 200
        return page("mailings/when.html", fragments=("when_form",), status=status, **context)


@mailings.post("/<int:mailing_id>/confirm")
@permission("mailings.start")
def confirm(mailing_id: int) -> Response:
    """Confirm the start with the number of recipients; shown again when it has changed."""
    shown = forms.typed_number(request.form, "recipients") or 0
    typed = forms.typed_number(request.form)
    with current.session() as session:
        if shown > TYPED_ABOVE and typed != shown:
            raise ConflictError(
                _("The number typed is not %(count)s. Nothing was sent.", count=number(shown))
            )
        try:
            confirmed = launch.confirm(
                session,
                current.plugins,
                current.settings,
                current.tenant_id,
                mailing_id,
                recipients=shown,
                version=request.form.get("version", type=int),
                account_id=current.account_id,
                may_start_large=allowed("mailings.start_large"),
            )
        except launch.RecipientsChangedError as error:
            mailing = service.get_mailing(session, current.tenant_id, mailing_id)
            context = _when_context(session, mailing) | {"changed": error}
            return page("mailings/when.html", status=409, **context)
        undoing.remember(confirmed)
    hint(current.installation.broker, Work.LAUNCH, current.tenant_id, mailing_id)
    return see_other(url_for("mailings.progress", mailing_id=mailing_id))


@mailings.post("/<int:mailing_id>/undo")
@permission("mailings.start")
def undo(mailing_id: int) -> Response:
    """Take the confirmation back while nothing has started."""
    undoing.forget(mailing_id)
    with current.session() as session:
        launch.undo(session, current.settings, current.tenant_id, mailing_id)
    toast(_("Undone. The mailing is a draft again."))
    return see_other(url_for("mailings.when", mailing_id=mailing_id))


def _save(mailing_id: int) -> None:
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        company = _company_window(session, mailing)
        where = (current.company.zone, company, current.company.currency)
        changes = when_changes(request.form, *where, mailing.starts_at)
        _require_window(mailing, company, changes)
        mine = (current.tenant_id, mailing_id, forms.version_of(request.form))
        service.update_mailing(session, *mine, changes, current.account_id)


def _conflict(mailing_id: int) -> Response:
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        here = url_for("mailings.when", mailing_id=mailing_id)
        rows = _differences(session, mailing)
        return conflict_page(session, mailing, rows, target="when-form", theirs_url=here)


def _company_window(session: Session, mailing: Mailing) -> SendingWindow | None:
    """The company's interval, by the clock that the channel keeps."""
    settings = tenant_settings(session, current.tenant_id)
    zone = current.plugins.channels[mailing.channel].window_zone
    return SendingWindow.of(settings.window_from, settings.window_until, zone)


def _require_window(mailing: Mailing, company: SendingWindow | None, changes: Any) -> None:
    """Let only some roles send outside the company's own interval."""
    wanted = SendingWindow.of(changes["window_from"], changes["window_until"])
    before = SendingWindow.of(mailing.window_from, mailing.window_until)
    if company is None or wanted == before or (wanted and company.covers(wanted)):
        return
    require("mailings.skip_window")


def _differences(session: Session, mailing: Mailing) -> Iterator[tuple[str, str, str]]:
    """Say every field in which the typed values differ from the saved ones."""
    saved = _values(session, mailing)
    for field, label in field_labels().items():
        mine = request.form.get(field, "")
        if saved[field] != mine:
            yield label, saved[field] or "–", mine or "–"


def _values(session: Session, mailing: Mailing) -> dict[str, str]:
    values = when_values(mailing, current.company.zone, current.company.currency)
    company = _company_window(session, mailing)
    mine = SendingWindow.of(mailing.window_from, mailing.window_until, mailing.window_zone)
    return values | ({"window": "company"} if company and mine == company else {})


def _when_context(
    session: Session, mailing: Mailing, problems: tuple[Problem, ...] = ()
) -> dict[str, Any]:
    checks = review(session, current.plugins, mailing)
    advice = content_checks(session, current.plugins, mailing, current.settings.links_url)
    broken = {check.name for check in failed(checks)}
    company = _company_window(session, mailing)
    account = session.get(Account, current.account_id) if current.account_id else None
    values = _values(session, mailing) | (request.form.to_dict() if problems else {})
    undo_for = launch.undo_window(session, current.settings, current.tenant_id)
    return {
        **common(session, mailing, "when"),
        **_approval(session, mailing),
        "values": defaultdict(str, values),
        "has_cost": mailing.budget is not None or has_cost(session, current.plugins, mailing),
        "checks": [*checks, *advice],
        "faults": list(content_faults(session, mailing)) if "content" in broken else [],
        "ready": not broken and bool(mailing.volume),
        "source": source_of(session, mailing),
        "review": review_rows(session, mailing),
        "start": start_words(mailing, account.time_zone if account else ""),
        "takes": [*estimate_words(session, mailing), *going_on_words(session, mailing)],
        "policy": session.get(Policy, (mailing.tenant_id, mailing.policy_id or 0)),
        "gateway": default_gateway(session, mailing.tenant_id, mailing.channel),
        "company_window": f"{clock_of(company.start)}–{clock_of(company.end)}" if company else "",
        "watchers": options(
            [
                (g.id, f"{g.name} ({watching(g, mailing.channel)})")
                for g in list_watcher_groups(session, mailing.tenant_id)
            ],
            _("No group"),
        ),
        "typed_above": TYPED_ABOVE,
        "opened": OPENED,
        "undo_seconds": int(undo_for.total_seconds()),
        "changed": None,
        "problems": problems,
        "errors": {p.field: p.message for p in problems},
    }


def _approval(session: Session, mailing: Mailing) -> dict[str, Any]:
    """Whether a mailing of this size needs another person, and whether one was asked."""
    recipients = mailing.volume.get("recipients", 0) if mailing.volume else 0
    large = is_large(session, mailing.tenant_id, recipients)
    may_start_large = allowed("mailings.start_large")
    return {
        "large": large,
        "large_from": tenant_settings(session, mailing.tenant_id).approval_from,
        "needs_another": large
        and needs_another(session, mailing, current.account_id, may_start_large=may_start_large),
        "question": question_of(session, mailing),
    }
