"""Step 1 of the editor: who gets it, who does not, and why."""

from __future__ import annotations

from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.audience.control import smallest_difference
from envoi.audience.estimate import Share
from envoi.audience.strata import CHARACTERISTICS
from envoi.errors import NotFoundError, Problem, ValidationFailedError
from envoi.mailings import launch, service
from envoi.mailings.models import Mailing
from envoi.policies.service import list_policies
from envoi.segments.catalogue import load_catalogue
from envoi.segments.criteria import in_words
from envoi.segments.models import Segment
from envoi.segments.queries import list_segments
from envoi.segments.tree import parse
from envoi.webkit import current, page, permission, see_other
from envoi_web.mailings import forms
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.context import (
    STAGE_LABELS,
    STRATA_LABELS,
    crumbs,
    detail_words,
    options,
)
from envoi_web.mailings.editing import common, count_now, not_a_draft


@mailings.get("/<int:mailing_id>/who")
@permission("mailings.edit")
def who(mailing_id: int) -> Response:
    """Show the first step: who gets it and who does not."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        if (elsewhere := not_a_draft(session, mailing)) is not None:
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
            count_now(session, mailing)
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
        count_now(session, mailing)
        return page("mailings/who.html", fragments=("volume",), **_who_context(session, mailing))


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


def _who_context(
    session: Session, mailing: Mailing, problems: tuple[Problem, ...] = ()
) -> dict[str, Any]:
    segment = session.get(Segment, (mailing.tenant_id, mailing.segment_id or 0))
    policies = [use.policy for use in list_policies(session, mailing.tenant_id)]
    counted = mailing.volume or {}
    return common(session, mailing, "who") | {
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


def _sentence(session: Session, segment: Segment) -> str:
    catalogue = load_catalogue(session, segment.tenant_id, current.plugins)
    return in_words(parse(segment.tree), catalogue, current.plugins, _)


def _balance(session: Session, mailing: Mailing) -> list[tuple[str, list[tuple[str, Share]]]]:
    found = launch.balance_of(session, current.plugins, mailing)
    return [
        (name, [(CHARACTERISTICS[name].values[share.code], share) for share in shares])
        for name, shares in found
    ]
