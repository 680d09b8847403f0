"""Test messages: who looks at the mailing before its recipients do, and what became of it."""

from __future__ import annotations

from typing import Any

from flask import Response, request, url_for
from flask_babel import lazy_gettext
from sqlalchemy.orm import Session

from envoi.delivery.copies import Copies
from envoi.errors import Problem, ValidationFailedError
from envoi.jobs import Work, hint
from envoi.mailings import copies, service
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
    AddressKind.EMAIL: lazy_gettext("Addresses"),
    AddressKind.PHONE: lazy_gettext("Phone numbers"),
    AddressKind.PUSH: lazy_gettext("Tokens of devices"),
}
_PAGE = "mailings/what/test.html"
_BLOCKS = ("test_form", "test_result")


@mailings.get("/<int:mailing_id>/test")
@permission("mailings.test")
def test_message(mailing_id: int) -> Response:
    """Show the form of a test, or what became of the one that the address names."""
    run_id = request.args.get("run", None, type=int)
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        sent = None
        if run_id is not None:
            sent = copies.get_copies(session, current.tenant_id, mailing_id, run_id)
        return _shown(session, mailing, sent=sent, run_id=run_id)


@mailings.post("/<int:mailing_id>/test")
@permission("mailings.test")
def send_test_message(mailing_id: int) -> Response:
    """Send the variants chosen to everybody chosen."""
    form = request.form
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        kind = current.plugins.channels[mailing.channel].address_kind
        try:
            run = copies.send_test(
                session,
                current.plugins,
                current.settings,
                mailing.tenant_id,
                mailing_id,
                addresses=copies.chosen_addresses(
                    session,
                    mailing.tenant_id,
                    kind,
                    typed=form.get("addresses", "")[:5000],
                    employees=form.getlist("employee", type=int),
                    watcher_group_id=form.get("watchers", None, type=int),
                ),
                numbers=_numbers(session, mailing),
                customer_id=_customer(),
            )
        except ValidationFailedError as error:
            return _shown(session, mailing, problems=error.problems)
        run_id = run.id
    hint(current.installation.broker, Work.COPIES, current.tenant_id, run_id)
    url = url_for("mailings.test_message", mailing_id=mailing_id, run=run_id)
    if not is_fragment():
        return see_other(url)
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        sent = copies.get_copies(session, current.tenant_id, mailing_id, run_id)
        return _shown(session, mailing, sent=sent, run_id=run_id)


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
    sent: Copies | None = None,
    run_id: int | None = None,
) -> Response:
    kind = current.plugins.channels[mailing.channel].address_kind
    found: list[tuple[int, str, str]] = []
    if kind is AddressKind.EMAIL:
        found = copies.employees_of(session, mailing.tenant_id)
    context: dict[str, Any] = {
        "addresses": ADDRESSES[kind],
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
        run_id=run_id,
        crumbs=crumbs(mailing.name, mailing.channel),
        **context,
    )
