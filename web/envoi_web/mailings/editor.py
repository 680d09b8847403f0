"""The editor in three steps: who, what, when and review; and the confirmation."""

from __future__ import annotations

from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.audience.control import smallest_difference
from envoi.audience.estimate import Share
from envoi.audience.strata import CHARACTERISTICS
from envoi.delivery.gateways import default_gateway
from envoi.errors import ConflictError, NotFoundError, Problem, ValidationFailedError
from envoi.jobs import Work, hint
from envoi.mailings import launch, service
from envoi.mailings.content import content_warnings, preview_customers
from envoi.mailings.models import Mailing
from envoi.mailings.status import Status
from envoi.policies.service import list_policies
from envoi.segments.catalogue import load_catalogue
from envoi.segments.criteria import in_words
from envoi.segments.models import Segment
from envoi.segments.queries import list_segments
from envoi.segments.tree import parse
from envoi.webkit import allowed, current, page, permission, see_other, toast
from envoi.webkit.formats import number
from envoi_web.mailings import forms
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.context import (
    STAGE_LABELS,
    STRATA_LABELS,
    crumbs,
    detail_words,
    home_url,
    options,
    steps,
    volume_data,
)

TYPED_ABOVE = 1_000
"""Above so many recipients the number is typed before a mailing starts."""


@mailings.get("/<int:mailing_id>/who")
@permission("mailings.edit")
def who(mailing_id: int) -> Response:
    """Show the first step: who gets it and who does not."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        if (elsewhere := _not_a_draft(session, mailing)) is not None:
            return elsewhere
        return page("mailings/who.html", **_who_context(session, mailing))


@mailings.post("/<int:mailing_id>/who")
@permission("mailings.edit")
def save_who(mailing_id: int) -> Response:
    """Save the first step and count again; without a script, go on to the next step."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        problems: tuple[Problem, ...] = ()
        try:
            changes = forms.who_changes(request.form)
            version = forms.version_of(request.form)
            service.update_mailing(session, current.tenant_id, mailing_id, version, changes)
            _count(session, mailing)
        except ValidationFailedError as error:
            problems = error.problems
        if not problems and "next" in request.form:
            return see_other(url_for("mailings.what", mailing_id=mailing_id))
        status = 422 if problems else 200
        context = _who_context(session, mailing, problems)
        return page("mailings/who.html", fragments=("who_form",), status=status, **context)


@mailings.post("/<int:mailing_id>/count")
@permission("mailings.view")
def count(mailing_id: int) -> Response:
    """Count who would get the mailing now."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        _count(session, mailing)
        return page("mailings/who.html", fragments=("volume",), **_who_context(session, mailing))


@mailings.get("/<int:mailing_id>/what")
@permission("mailings.content")
def what(mailing_id: int) -> Response:
    """Show the second step: the message."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        if (elsewhere := _not_a_draft(session, mailing)) is not None:
            return elsewhere
        return page("mailings/what.html", **_what_context(session, mailing))


@mailings.post("/<int:mailing_id>/what")
@permission("mailings.content")
def save_what(mailing_id: int) -> Response:
    """Save the message as it stands; say what is still wrong with it."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        schema = current.plugins.channels[mailing.channel].content_schema
        content = forms.content_of(request.form, schema.model_fields)
        version = forms.version_of(request.form)
        service.save_content(session, current.tenant_id, mailing_id, version, content)
        if name := request.form.get("name", "").strip():
            mailing.name = name[:200]
        if "next" in request.form:
            return see_other(url_for("mailings.when", mailing_id=mailing_id))
        context = _what_context(session, mailing)
        return page("mailings/what.html", fragments=("what_state",), **context)


@mailings.get("/<int:mailing_id>/when")
@permission("mailings.edit")
def when(mailing_id: int) -> Response:
    """Show the third step: start, settings, review and checks."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        if (elsewhere := _not_a_draft(session, mailing)) is not None:
            return elsewhere
        if not mailing.volume:
            _count(session, mailing)
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


@mailings.get("/<int:mailing_id>/why")
@permission("customers.view")
def why(mailing_id: int) -> Response:
    """Answer why one customer gets the mailing or not."""
    wanted = request.args.get("customer", "").strip()
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        problem, found = "", None
        try:
            found = launch.why_not(session, current.plugins, mailing, wanted) if wanted else None
        except NotFoundError as error:
            problem = str(error)
        return page(
            "mailings/why.html",
            fragments=("answer",),
            mailing=mailing,
            wanted=wanted,
            found=found,
            detail=detail_words(found[1].detail) if found and found[1] else "",
            problem=problem,
            stage_labels=STAGE_LABELS,
            crumbs=crumbs(mailing.name),
        )


def _count(session: Session, mailing: Mailing) -> None:
    if mailing.segment_id is not None:
        launch.estimate_mailing(session, current.plugins, mailing.tenant_id, mailing.id)


def _not_a_draft(session: Session, mailing: Mailing) -> Response | None:
    status = service.current_status(session, mailing)
    return None if status is Status.DRAFT else see_other(home_url(mailing.id, status))


def _common(session: Session, mailing: Mailing, here: str) -> dict[str, Any]:
    content = service.variants_of(session, mailing)[0].content
    return {
        "mailing": mailing,
        "content": content,
        "steps": steps(mailing, content, here),
        "volume": volume_data(mailing),
        "crumbs": crumbs(mailing.name),
    }


def _who_context(
    session: Session, mailing: Mailing, problems: tuple[Problem, ...] = ()
) -> dict[str, Any]:
    segment = session.get(Segment, (mailing.tenant_id, mailing.segment_id or 0))
    policies = [use.policy for use in list_policies(session, mailing.tenant_id)]
    counted = mailing.volume or {}
    return _common(session, mailing, "who") | {
        "segment": segment,
        "sentence": _sentence(session, segment) if segment else "",
        "segments": options(
            [(s.id, s.name) for s in list_segments(session, mailing.tenant_id)],
            _("Choose a segment"),
        ),
        "policies": options([(p.id, p.name) for p in policies]),
        "policy": next((p for p in policies if p.id == mailing.policy_id), None),
        "strata": [(name, label, name in mailing.strata) for name, label in STRATA_LABELS.items()],
        "balance": _balance(session, mailing) if mailing.strata and mailing.control_share else (),
        "strata_labels": STRATA_LABELS,
        "visible": smallest_difference(counted.get("recipients", 0), counted.get("control", 0)),
        "problems": problems,
        "errors": {p.field: p.message for p in problems},
    }


def _what_context(session: Session, mailing: Mailing) -> dict[str, Any]:
    check = next(c for c in launch.review(session, current.plugins, mailing) if c.name == "content")
    spec = current.plugins.channels[mailing.channel]
    return _common(session, mailing, "what") | {
        "editor": spec.editor_template,
        "problem": check.problem,
        "warnings": content_warnings(session, mailing),
        "customers": preview_customers(session, mailing) if allowed("customers.view") else [],
    }


def _when_context(
    session: Session, mailing: Mailing, problems: tuple[Problem, ...] = ()
) -> dict[str, Any]:
    checks = launch.review(session, current.plugins, mailing)
    return _common(session, mailing, "when") | {
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


def _sentence(session: Session, segment: Segment) -> str:
    catalogue = load_catalogue(session, segment.tenant_id)
    return in_words(parse(segment.tree), catalogue, current.plugins, _)


def _balance(session: Session, mailing: Mailing) -> list[tuple[str, list[tuple[str, Share]]]]:
    found = launch.balance_of(session, current.plugins, mailing)
    return [
        (name, [(CHARACTERISTICS[name].values[share.code], share) for share in shares])
        for name, shares in found
    ]
