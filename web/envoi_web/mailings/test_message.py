"""Test messages: who looks at the mailing before its recipients do, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response, request, url_for
from flask_babel import lazy_gettext
from sqlalchemy.orm import Session

from envoi.delivery.copies import copies_of
from envoi.delivery.models import Run
from envoi.delivery.steps import MOST_STEPS
from envoi.errors import Problem, ValidationFailedError
from envoi.jobs import Work, hint
from envoi.mailings import copies, service
from envoi.mailings.cascade import channels_of
from envoi.mailings.models import Mailing
from envoi.tenants.watchers import list_watcher_groups
from envoi.types import AddressKind
from envoi.webkit import allowed, current, page, permission, see_other
from envoi.webkit.htmx import is_fragment
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.context import crumbs
from envoi_web.mailings.editor_context import LETTERS
from envoi_web.mailings.readers import people_of

ADDRESSES = {
    AddressKind.EMAIL: lazy_gettext("Emails"),
    AddressKind.PHONE: lazy_gettext("Phone numbers"),
    AddressKind.PUSH: lazy_gettext("Tokens of devices"),
}
_PAGE = "mailings/what/test.html"
_BLOCKS = ("test_form", "test_result")


@mailings.get("/<int:mailing_id>/test")
@permission("mailings.test")
def test_message(mailing_id: int) -> Response:
    """Show the form of a test, or what became of the one that the address names."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        return _shown(session, mailing, runs=request.args.getlist("run", type=int)[:MOST_STEPS])


@mailings.post("/<int:mailing_id>/test")
@permission("mailings.test")
def send_test_message(mailing_id: int) -> Response:
    """Send the variants chosen, by the channels chosen, to everybody chosen."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        try:
            # What one channel refuses keeps the others from being sent as well.
            with session.begin_nested():
                runs = [run.id for run in _send(session, mailing)]
        except ValidationFailedError as error:
            return _shown(session, mailing, problems=error.problems)
    for run_id in runs:
        hint(current.installation.broker, Work.COPIES, current.tenant_id, run_id)
    if not is_fragment():
        return see_other(url_for("mailings.test_message", mailing_id=mailing_id, run=runs))
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        return _shown(session, mailing, runs=runs)


def _send(session: Session, mailing: Mailing) -> list[Run]:
    """Send a test by each channel chosen for which there is an address."""
    form, kinds = request.form, _kinds(mailing)
    about = (session, current.plugins, current.settings, mailing.tenant_id, mailing.id)
    wanted = {
        kind: copies.chosen_addresses(
            session,
            mailing.tenant_id,
            kind,
            typed=form.get(_field(kind, kinds), "")[:5000],
            employees=form.getlist("employee", type=int),
            watcher_group_id=form.get("watchers", None, type=int),
        )
        for kind in kinds
    }
    chosen = _steps(mailing)
    reached = [step for step in chosen if wanted[kinds[step - 1]]]
    return [
        copies.send_test(
            *about,
            addresses=wanted[kinds[step - 1]],
            numbers=_numbers(session, mailing),
            customer_id=_customer(),
            step=step,
        )
        for step in reached or chosen[:1]
    ]


def _kinds(mailing: Mailing) -> list[AddressKind]:
    """What each step sends to."""
    return [current.plugins.channels[name].address_kind for name in channels_of(mailing)]


def _field(kind: AddressKind, kinds: Sequence[AddressKind]) -> str:
    """Return the name of the field for addresses of a kind."""
    return "addresses" if kind is kinds[0] else f"addresses.{kind}"


def _steps(mailing: Mailing) -> list[int]:
    known = range(1, 1 + len(channels_of(mailing)))
    asked = set(request.form.getlist("step", type=int))
    return [step for step in known if step in asked] or list(known)


def _numbers(session: Session, mailing: Mailing) -> list[int]:
    known = [variant.number for variant in service.variants_of(session, mailing)]
    asked = set(request.form.getlist("variants", type=int))
    return [number for number in known if number in asked] or known[:1]


def _customer() -> int | None:
    return request.form.get("customer", None, type=int) if allowed("customers.view") else None


def _shown(
    session: Session,
    mailing: Mailing,
    *,
    problems: tuple[Problem, ...] = (),
    runs: Sequence[int] = (),
) -> Response:
    kinds = _kinds(mailing)
    found: list[tuple[int, str, str]] = []
    if AddressKind.EMAIL in kinds:
        found = copies.employees_of(session, mailing.tenant_id)
    about = (session, mailing.tenant_id, mailing.id)
    tests = [copies.get_test(*about, run_id) for run_id in runs]
    sent = [(run.channel, copies_of(run)) for run in tests]
    context: dict[str, Any] = {
        "addresses": [(_field(kind, kinds), ADDRESSES[kind]) for kind in dict.fromkeys(kinds)],
        "channels": channels_of(mailing),
        "employees": found,
        "watchers": list_watcher_groups(session, mailing.tenant_id),
        "customers": people_of(session, mailing),
        "customer": request.values.get("customer", None, type=int),
        "variants": [
            (variant.number, LETTERS[variant.number - 1])
            for variant in service.variants_of(session, mailing)
        ],
        "me": current.account_id,
    }
    return page(
        _PAGE,
        fragments=_BLOCKS,
        status=422 if problems else 200,
        mailing=mailing,
        problems=problems,
        sent=sent,
        done=all(found.done for _, found in sent),
        runs=runs,
        crumbs=crumbs(mailing.name, mailing.channel),
        **context,
    )
