"""Unsubscribing: a page with a button for people, one POST for mail programs (RFC 8058).

Reading changes nothing, whoever reads, and neither does a POST that is no choice and no one
click, nor a scanner that presses buttons. An answer to a POST is given after the commit; asking
again is answered the same way and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.delivery.models import Run, RunKind
from envoi.delivery.steps import channel_of
from envoi.plugins import Plugins
from envoi.subscriptions.models import WHOLE_CHANNEL, MailingCategory
from envoi.subscriptions.service import Reason, Source, opt_out
from envoi.tracking.answers import NOTHING_HERE, UNSUBSCRIBED, Answer
from envoi.tracking.answers import Environ as WsgiEnviron
from envoi.tracking.classify import is_scanner
from envoi.tracking.forms import form_of
from envoi.tracking.public_pages import Brand, PublicPages, brand_of
from envoi.tracking.tokens import MessageRef
from envoi.types import AddressKind

_CATEGORY = "category"


@dataclass(frozen=True, kw_only=True)
class Subscriber:
    """Who would leave, and what there is to leave."""

    brand: Brand
    channel: str
    category_id: int
    category: str
    address: str | None
    is_test: bool


class Unsubscribing:
    """The view of an unsubscribe address."""

    def __init__(self, database: Database, plugins: Plugins, pages: PublicPages) -> None:
        self._database = database
        self._plugins = plugins
        self._pages = pages

    def __call__(self, environ: WsgiEnviron, ref: MessageRef) -> Answer:
        """Show the page on GET, unsubscribe on POST."""
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return self._show(ref)
        if environ["REQUEST_METHOD"] != "POST":
            return NOTHING_HERE
        form = form_of(environ).to_dict()
        if form.get("List-Unsubscribe") == "One-Click" or _is_choice(environ, form):
            return self._leave(ref, form)
        return self._show(ref)

    def _show(self, ref: MessageRef) -> Answer:
        with self._database.tenant_session(ref.tenant_id) as session:
            who = self._subscriber(session, ref)
        return self._page("unsubscribe.html", who) if who else NOTHING_HERE

    def _leave(self, ref: MessageRef, form: dict[str, str]) -> Answer:
        """Do what a person chose, or a mail program's one click.

        One click leaves the whole channel: whoever presses it in the mail program is not asked
        which messages are meant, and the safe answer is all of them.
        """
        is_person = "scope" in form
        with self._database.tenant_session(ref.tenant_id) as session:
            who = self._subscriber(session, ref)
            if who is None:
                return NOTHING_HERE
            narrow = form.get("scope") == _CATEGORY and who.category_id != WHOLE_CHANNEL
            if not who.is_test:
                opt_out(
                    session,
                    ref.tenant_id,
                    ref.customer_id,
                    who.channel,
                    who.category_id if narrow else WHOLE_CHANNEL,
                    source=Source.PAGE if is_person else Source.ONE_CLICK,
                    reason=_reason(form),
                    run_id=ref.run_id,
                    address=who.address,
                )
        return self._page("unsubscribed.html", who, narrow=narrow) if is_person else UNSUBSCRIBED

    def _page(self, template: str, who: Subscriber, **context: object) -> Answer:
        return self._pages.answer(template, who.brand, who=who, reasons=list(Reason), **context)

    def _subscriber(self, session: Session, ref: MessageRef) -> Subscriber | None:
        run, customer, category = table(Run), table(Customer), table(MailingCategory)
        found = session.get(Run, (ref.tenant_id, ref.run_id))
        if found is None:
            return None
        channel = channel_of(found, ref.step)
        category_id = found.settings.get("category_id") or WHOLE_CHANNEL
        query = (
            select(
                customer.c.email,
                customer.c.phone,
                category.c.name.label("category"),
            )
            .select_from(run)
            .join(
                customer,
                and_(customer.c.tenant_id == run.c.tenant_id, customer.c.id == ref.customer_id),
            )
            .outerjoin(
                category,
                and_(category.c.tenant_id == run.c.tenant_id, category.c.id == category_id),
            )
            .where(run.c.tenant_id == ref.tenant_id, run.c.id == ref.run_id)
        )
        row = session.execute(query).one_or_none()
        if row is None:
            return None
        return Subscriber(
            brand=brand_of(session, ref.tenant_id),
            channel=channel,
            category_id=category_id if row.category is not None else WHOLE_CHANNEL,
            category=row.category or "",
            address=self._address(channel, row.email, row.phone),
            is_test=found.kind == RunKind.TEST,
        )

    def _address(self, channel: str, email: str | None, phone: str | None) -> str | None:
        spec = self._plugins.channels.get(channel)
        addresses = {AddressKind.EMAIL: email, AddressKind.PHONE: phone}
        return addresses.get(spec.address_kind) if spec else None


def _is_choice(environ: WsgiEnviron, form: dict[str, str]) -> bool:
    return "scope" in form and not is_scanner(environ.get("HTTP_USER_AGENT", ""))


def _reason(form: dict[str, str]) -> str:
    given = form.get("reason", "")
    return given if given in list(Reason) else ""
