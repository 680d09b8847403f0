"""Step 1 of the editor: who gets it, who does not, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.audience.volume import Volume
from envoi.errors import EnvoiError, Problem, ValidationFailedError
from envoi.mailings import service
from envoi.mailings.audience import require_few_strata
from envoi.mailings.models import Mailing
from envoi.policies.service import list_policies
from envoi.segments.counting import SupersededError
from envoi.subscriptions.queries import list_categories
from envoi.target_audiences.queries import list_audiences
from envoi.webkit import current, page, parts, permission, see_other
from envoi.webkit.formats import number
from envoi.webkit.htmx import is_fragment
from envoi_web.mailings import forms, strata
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.context import options
from envoi_web.mailings.editing import (
    common,
    conflict_page,
    count_exactly,
    count_now,
    not_a_draft,
)
from envoi_web.mailings.effect import effect_of
from envoi_web.mailings.sources import Source, source_of, sources

# What a count changes; the rest of the page may have been typed into since.
COUNTED = ("volume", "share", "visible", "summary")


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
    """Save what a form of the first step has and count again; without a script, go on."""
    problems: tuple[Problem, ...] = ()
    try:
        _save(mailing_id)
    except service.ChangedMeanwhileError:
        return _conflict(mailing_id)
    except ValidationFailedError as error:
        problems = error.problems
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        if not problems and "next" in request.form:
            return see_other(url_for("mailings.what", mailing_id=mailing_id))
        status = 422 if problems else 200
        context = _who_context(session, mailing, problems)
        return page("mailings/who.html", fragments=("who",), status=status, **context)


@mailings.post("/<int:mailing_id>/count")
@permission("mailings.view")
def count(mailing_id: int) -> Response:
    """Count exactly who would get the mailing now; nothing to show when a newer count runs."""
    try:
        count_exactly(mailing_id)
    except SupersededError:
        return Response(status=204)
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        context = _who_context(session, mailing)
        if not is_fragment():
            return page("mailings/who.html", **context)
        return parts("mailings/who.html", COUNTED, **context)


@mailings.get("/<int:mailing_id>/choose")
@permission("mailings.edit")
def choose(mailing_id: int) -> Response:
    """Offer the segments and target audiences that a mailing can go to."""
    wanted = request.args.get("q", "").strip()[:200]
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        if (elsewhere := not_a_draft(session, mailing)) is not None:
            return elsewhere
        return page(
            "mailings/choose.html",
            fragments=("choose_list",),
            mailing=mailing,
            wanted=wanted,
            found=sources(session, mailing.tenant_id, wanted),
            crumbs=common(session, mailing, "who")["crumbs"],
        )


def _changes(session: Session) -> dict[str, Any]:
    changes = forms.who_changes(request.form)
    if "strata_form" in request.form:
        changes["strata"] = strata.strata_of(session, current.tenant_id, request.form)
    return changes


def _save(mailing_id: int) -> None:
    """Save and count, all of it or nothing."""
    with current.session() as session:
        mine = (current.tenant_id, mailing_id, forms.version_of(request.form))
        changes = _changes(session)
        mailing = service.update_mailing(session, *mine, changes, current.account_id)
        count_now(session, mailing)
        if (volume := Volume.from_document(mailing.volume)) is not None:
            require_few_strata(volume)


def _conflict(mailing_id: int) -> Response:
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        rows = _differences(session, mailing, _changes(session))
        here = url_for("mailings.who", mailing_id=mailing_id)
        return conflict_page(session, mailing, rows, target="who", theirs_url=here)


def _differences(
    session: Session, mailing: Mailing, changes: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """Say every field in which the typed values differ from the saved ones."""
    tenant_id = mailing.tenant_id
    names: dict[str, Mapping[Any, str]] = {
        "policy_id": {use.policy.id: use.policy.name for use in list_policies(session, tenant_id)},
        "category_id": {c.id: c.name for c in list_categories(session, tenant_id)},
        "control_audience_id": {a.id: a.name for a in list_audiences(session, tenant_id)},
        "segment_id": {s.id: s.name for s in sources(session, tenant_id, "") if s.is_segment},
        "audience_id": {s.id: s.name for s in sources(session, tenant_id, "") if not s.is_segment},
        "one_per_address": {True: _("On"), False: _("Off")},
    }
    labels = {
        "policy_id": _("Communication policy"),
        "category_id": _("Mailing category"),
        "one_per_address": _("One message per address"),
        "control_share": _("Control group size"),
        "control_audience_id": _("Control group"),
        "strata": _("Stratification parameters"),
        "segment_id": _("Segment"),
        "audience_id": _("Target audience"),
        "tree": _("Who gets it"),
    }

    def shown(field: str, value: Any) -> str:
        if isinstance(value, list):
            return ", ".join(value) or "–"
        if isinstance(value, float):
            return number(value)
        if isinstance(value, dict):
            return str(_("Customers found in the list") if value else _("All customers"))
        return str(names.get(field, {}).get(value) or ("–" if value is None else value))

    for field, mine in changes.items():
        theirs = getattr(mailing, field)
        if theirs != mine:
            yield labels[field], shown(field, theirs), shown(field, mine)


def _who_context(
    session: Session, mailing: Mailing, problems: tuple[Problem, ...] = ()
) -> dict[str, Any]:
    tenant_id = mailing.tenant_id
    policies = [use.policy for use in list_policies(session, tenant_id)]
    categories = [c for c in list_categories(session, tenant_id) if not c.hidden]
    source = _source(session, mailing)
    fields = strata.field_labels(session, tenant_id)
    return common(session, mailing, "who") | {
        "source": source,
        "found": [] if source else sources(session, tenant_id, "")[:8],
        "policies": options([(p.id, p.name) for p in policies]),
        "policy": next((p for p in policies if p.id == mailing.policy_id), None),
        "categories": options([(c.id, c.name) for c in categories], _("No category")),
        "audiences": options(
            [
                (a.id, f"{a.name} ({number(a.customers)})")
                for a in list_audiences(session, tenant_id)
            ],
            _("Choose a target audience"),
        ),
        "offers": strata.offers(session, mailing),
        "effect": effect_of(mailing, strata.balance_rows(mailing, fields), fields),
        "typed": forms.typed(request.form if problems or _is_choosing() else None),
        "problems": problems,
        "errors": {p.field: p.message for p in problems},
    }


def _is_choosing() -> bool:
    """Whether the control group was just switched to an audience that is yet to be chosen."""
    return request.form.get("control") == "audience"


def _source(session: Session, mailing: Mailing) -> Source | None:
    try:
        return source_of(session, mailing)
    except EnvoiError as error:
        return Source(kind="broken", id=0, name=_("The segment cannot be used"), problem=str(error))
