"""Preferences: a person says channel by channel and category by category what is wanted."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.db import Database
from envoi.delivery.gateways import channels_with_gateway
from envoi.delivery.models import Run, RunKind
from envoi.delivery.steps import channels_of
from envoi.plugins import Plugins
from envoi.subscriptions.models import WHOLE_CHANNEL
from envoi.subscriptions.queries import list_categories
from envoi.subscriptions.service import Source, opt_in, opt_out, opted_out_of
from envoi.tracking.answers import NOTHING_HERE, Answer
from envoi.tracking.answers import Environ as WsgiEnviron
from envoi.tracking.classify import is_scanner
from envoi.tracking.forms import form_of
from envoi.tracking.public_pages import PublicPages, brand_of
from envoi.tracking.tokens import MessageRef
from envoi.types import AddressKind, ChannelSpec


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One thing to want or not; `key` names it in the form."""

    channel: str
    category_id: int
    label: str
    note: str
    wanted: bool

    @property
    def key(self) -> str:
        """The name of the choice: channel and category."""
        return f"{self.channel}:{self.category_id}"


class Preferences:
    """The view of a preferences address."""

    def __init__(self, database: Database, plugins: Plugins, pages: PublicPages) -> None:
        self._database = database
        self._plugins = plugins
        self._pages = pages

    def __call__(self, environ: WsgiEnviron, ref: MessageRef) -> Answer:
        """Show the choices on GET, keep them on POST."""
        method = environ["REQUEST_METHOD"]
        if method not in ("GET", "HEAD", "POST"):
            return NOTHING_HERE
        with self._database.tenant_session(ref.tenant_id) as session:
            run = session.get(Run, (ref.tenant_id, ref.run_id))
            customer = session.get(Customer, (ref.tenant_id, ref.customer_id))
            if run is None or customer is None:
                return NOTHING_HERE
            saved = method == "POST" and not is_scanner(environ.get("HTTP_USER_AGENT", ""))
            if saved and run.kind != RunKind.TEST:
                form = form_of(environ)
                self._keep(session, run, customer, form.getlist("shown"), form.getlist("wanted"))
            context = {
                "channels": self._choices(session, run, customer),
                "is_test": run.kind == RunKind.TEST,
                "saved": saved,
            }
            brand = brand_of(session, ref.tenant_id)
        return self._pages.answer("preferences.html", brand, **context)

    def _keep(
        self,
        session: Session,
        run: Run,
        customer: Customer,
        shown: Collection[str],
        wanted: Collection[str],
    ) -> None:
        """Change what the page had shown and nothing else: there may be more by now."""
        for spec, choices in self._choices(session, run, customer):
            for choice in choices:
                if choice.key not in shown or (choice.key in wanted) == choice.wanted:
                    continue
                whose = (session, run.tenant_id, customer.id, choice.channel)
                if choice.key in wanted:
                    opt_in(*whose, choice.category_id, source=Source.PAGE)
                    continue
                address = _address(customer, spec)
                opt_out(*whose, choice.category_id, source=Source.PAGE, address=address)
        session.flush()

    def _choices(
        self, session: Session, run: Run, customer: Customer
    ) -> list[tuple[ChannelSpec, list[Choice]]]:
        left = {
            (out.channel, out.category_id)
            for out in opted_out_of(session, run.tenant_id, customer.id)
        }
        plugins = self._plugins.for_tenant(session, run.tenant_id)
        used = {*channels_of(run), *channels_with_gateway(session, run.tenant_id)}
        kinds = [(WHOLE_CHANNEL, "", ""), *_categories(session, run.tenant_id)]
        return [
            (
                spec,
                [
                    Choice(
                        channel=spec.name,
                        category_id=number,
                        label=label,
                        note=note,
                        wanted=(spec.name, number) not in left,
                    )
                    for number, label, note in kinds
                ],
            )
            for spec in plugins.channels.values()
            if spec.name in used
        ]


def _categories(session: Session, tenant_id: int) -> list[tuple[int, str, str]]:
    return [(c.id, c.name, c.description) for c in list_categories(session, tenant_id)]


def _address(customer: Customer, spec: ChannelSpec) -> str | None:
    addresses = {AddressKind.EMAIL: customer.email, AddressKind.PHONE: customer.phone}
    return addresses.get(spec.address_kind)
