"""Unsubscribing: a page with a button for people, one POST for mail programs (RFC 8058).

Reading changes nothing, whoever reads. An answer to a POST is given after the commit; asking
again is answered the same way and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlalchemy import and_, select
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request

from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.delivery.models import Run, RunKind
from envoi.plugins import Plugins
from envoi.subscriptions.models import WHOLE_CHANNEL, MailingCategory
from envoi.subscriptions.service import Reason, Source, opt_out
from envoi.tenants.models import Tenant, TenantSettings
from envoi.tracking.answers import NOTHING_HERE, UNSUBSCRIBED, Answer, page
from envoi.tracking.answers import Environ as WsgiEnviron
from envoi.tracking.tokens import MessageRef
from envoi.tracking.translations import LANGUAGES, translations
from envoi.types import AddressKind

_LONGEST_FORM = 64 * 1024
_CATEGORY = "category"


@dataclass(frozen=True, kw_only=True)
class Subscriber:
    """Who would leave, and what there is to leave."""

    company: str
    language: str
    channel: str
    category_id: int
    category: str
    address: str | None
    is_test: bool


class Unsubscribing:
    """The view of an unsubscribe address."""

    def __init__(self, database: Database, plugins: Plugins) -> None:
        self._database = database
        self._plugins = plugins
        self._pages = {language: _templates(language) for language in LANGUAGES}

    def __call__(self, environ: WsgiEnviron, ref: MessageRef) -> Answer:
        """Show the page on GET, unsubscribe on POST."""
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return self._show(ref)
        if environ["REQUEST_METHOD"] != "POST":
            return NOTHING_HERE
        return self._leave(ref, _form(environ))

    def _show(self, ref: MessageRef) -> Answer:
        with self._database.tenant_session(ref.tenant_id) as session:
            who = self._subscriber(session, ref)
        return self._page("unsubscribe.html", who) if who else NOTHING_HERE

    def _leave(self, ref: MessageRef, form: dict[str, str]) -> Answer:
        """Do what a person chose; a POST without a choice is a mail program's one click.

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
        pages = self._pages.get(who.language, self._pages["en"])
        return page(pages.get_template(template).render(who=who, reasons=list(Reason), **context))

    def _subscriber(self, session: Session, ref: MessageRef) -> Subscriber | None:
        run, customer, category = table(Run), table(Customer), table(MailingCategory)
        tenant, settings = table(Tenant), table(TenantSettings)
        found = session.get(Run, (ref.tenant_id, ref.run_id))
        if found is None:
            return None
        category_id = found.settings.get("category_id") or WHOLE_CHANNEL
        query = (
            select(
                tenant.c.name.label("company"),
                settings.c.locale,
                customer.c.email,
                customer.c.phone,
                category.c.name.label("category"),
            )
            .select_from(run)
            .join(tenant, tenant.c.id == run.c.tenant_id)
            .join(settings, settings.c.tenant_id == run.c.tenant_id)
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
            company=row.company,
            language=row.locale,
            channel=found.channel,
            category_id=category_id if row.category is not None else WHOLE_CHANNEL,
            category=row.category or "",
            address=self._address(found.channel, row.email, row.phone),
            is_test=found.kind == RunKind.TEST,
        )

    def _address(self, channel: str, email: str | None, phone: str | None) -> str | None:
        spec = self._plugins.channels.get(channel)
        addresses = {AddressKind.EMAIL: email, AddressKind.PHONE: phone}
        return addresses.get(spec.address_kind) if spec else None


def _templates(language: str) -> Environment:
    environment = Environment(
        loader=PackageLoader("envoi.tracking"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["language"] = language
    environment.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    return environment


def _form(environ: WsgiEnviron) -> dict[str, str]:
    """Read the body, urlencoded or multipart; what cannot be read counts as empty."""
    request = Request(environ)
    request.max_content_length = request.max_form_memory_size = _LONGEST_FORM
    try:
        return request.form.to_dict()
    except HTTPException:
        return {}


def _reason(form: dict[str, str]) -> str:
    given = form.get("reason", "")
    return given if given in list(Reason) else ""
