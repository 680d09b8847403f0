"""Two hundred customers as plain data and as rows: every case a segment can ask about.

Values repeat and sit on the edges of days, of birthdays and of the night in which the clock
changed, so that conditions with ties and off by one are told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from sqlalchemy import insert, select

from envoi.customers.models import Customer, CustomerValue, CustomField, FieldType
from envoi.db import Database, table
from envoi.delivery.models import Message, MessageState, Run, RunKind, RunStatus
from envoi.mailings.models import Mailing, MailingState
from envoi.receipts.models import Product, Receipt, ReceiptLine
from envoi.schema import make_month
from envoi.subscriptions.models import MailingCategory, OptOut
from envoi.target_audiences.models import AudienceMember, TargetAudience
from envoi.tenants.models import TimeZone
from envoi.tenants.service import create_tenant

ZONE = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 29, 10, 0, tzinfo=UTC)
TODAY = NOW.astimezone(ZONE).date()
"""The clock changed this morning, so days are not all 24 hours long."""

WORDS = ("", "Berlin", "BERLIN", "Ärmelkanal", "Москва", "москва", "ΟΔΟΣ")
EMAILS = ("anna@example.test", "boris@example.test", "clara@example.test")
PHONES = ("+4915100000001", "+4915100000002")
ZONES = ("Europe/Berlin", "Asia/Omsk")
DAYS = tuple(
    TODAY - timedelta(days=n) for n in (-30, -2, 0, 1, 2, 30, 365, 366, 6574, 6575, 6576, 8000)
)
BIRTHDAYS = (*DAYS, date(2004, 2, 29), date(2008, 2, 29), date(2008, 3, 29))
AGO = (-1, 0, 1, 2, 30, 45, 180)
MOMENTS = tuple(
    datetime.combine(TODAY - timedelta(days=n), time(), ZONE) + timedelta(seconds=s)
    for n in AGO
    for s in (-1, 0, 1, 5 * 3600)
)
AMOUNTS = (-500, 0, 999, 1000, 1001, 2000)
NUMBERS = (-1.5, 0.0, 1.0, 2.5, 44.0)
PRODUCTS = {"P1": "Coffee", "P2": "Coffee", "P3": "Tea, green", "P4": "", "P5": "Bread"}
CHOICES = ("Red", "red", "Blue, dark")
FIELDS = {
    "shoe": FieldType.TEXT,
    "size": FieldType.NUMBER,
    "wedding": FieldType.DATE,
    "vip": FieldType.YES_NO,
    "colour": FieldType.CHOICE,
}
CHANNELS = ("email", "sms")
RUNS = (("email", 9, False), ("email", 78, False), ("sms", 40, False), ("email", 3, True))
"""Each with its channel, how many days ago it was launched, and whether it was a test."""
_COLUMN = {FieldType.NUMBER: "number_value", FieldType.YES_NO: "number_value"}
_STATES = (*[MessageState.ACCEPTED] * 4, *MessageState)


@dataclass
class Bought:
    """A receipt with its lines: product, quantity, amount."""

    at: datetime
    amount: int
    items: float
    cancelled: bool
    lines: list[tuple[str, float, int]]


@dataclass
class Got:
    """A message of one of the runs."""

    run: int
    state: MessageState
    due_at: datetime
    accepted_at: datetime | None
    bounced_at: datetime | None
    opened_at: datetime | None
    clicked_at: datetime | None


@dataclass
class Shopper:
    """A customer with everything that belongs to them."""

    external_id: str
    attributes: dict[str, Any]
    zone: str | None
    values: dict[str, Any]
    receipts: list[Bought]
    messages: list[Got]
    audiences: set[int]
    left: set[tuple[str, int]]
    """Channels and categories by their place; category 0 is the whole channel."""
    id: int = 0


@dataclass
class Shop:
    """A tenant with its customers and the numbers of what it has, in their order."""

    tenant_id: int
    people: list[Shopper]
    mailings: list[int] = field(default_factory=list)
    audiences: list[int] = field(default_factory=list)
    categories: list[int] = field(default_factory=list)
    segments: dict[int, dict[str, Any]] = field(default_factory=dict)


def shoppers(random: Random, count: int) -> list[Shopper]:
    """Draw customers; the same random makes the same ones."""
    return [_shopper(random, number) for number in range(count)]


def _shopper(random: Random, number: int) -> Shopper:
    def maybe(values: Sequence[Any]) -> Any:
        return random.choice([None, *values])

    email, phone = maybe(EMAILS), maybe(PHONES)
    attributes = {
        "bucket": number,
        "gender": random.randrange(3),
        "birth_date": maybe(BIRTHDAYS),
        "registered_on": maybe(DAYS),
        **{name: random.choice(WORDS) for name in ("first_name", "middle_name", "last_name")},
        "city": random.choice(WORDS),
        "email": email,
        "email_quality": random.choice([0, 31]) if email else 30,
        "phone": phone,
        "phone_quality": random.choice([0, 31, 40]) if phone else 30,
    }
    pools = (WORDS[1:], NUMBERS, BIRTHDAYS, (0.0, 1.0), CHOICES)
    values = {code: maybe(pool) for code, pool in zip(FIELDS, pools, strict=True)}
    return Shopper(
        external_id=f"C-{number}",
        attributes=attributes,
        zone=maybe(ZONES),
        values={code: value for code, value in values.items() if value is not None},
        receipts=[_receipt(random) for _ in range(random.choice([0, 0, 1, 2, 4]))],
        messages=[_message(random, n) for n in range(len(RUNS)) if random.random() < 0.5],
        audiences={n for n in range(2) if random.random() < 0.4},
        left={(c, n) for c in CHANNELS for n in range(3) if random.random() < 0.06},
    )


def _receipt(random: Random) -> Bought:
    lines = [
        (random.choice(list(PRODUCTS)), random.choice([0.5, 1.0, 2.0]), random.choice(AMOUNTS))
        for _ in range(random.choice([0, 1, 1, 2, 3]))
    ]
    items = sum(quantity for _, quantity, _ in lines)
    at, amount = random.choice(MOMENTS), random.choice(AMOUNTS)
    return Bought(at, amount, items, random.random() < 0.15, lines)


def _message(random: Random, run: int) -> Got:
    state = random.choice(_STATES)
    launched = datetime.combine(_launched(run), time(12), UTC)
    due = launched + timedelta(days=random.choice([0, 0, 1, 9, 60]))
    accepted = due + timedelta(hours=1) if state == MessageState.ACCEPTED else None
    opened = due + timedelta(days=random.choice([1, 8, 30])) if random.random() < 0.5 else None
    return Got(
        run=run,
        state=state,
        due_at=due,
        accepted_at=accepted,
        bounced_at=accepted if random.random() < 0.2 else None,
        opened_at=opened,
        clicked_at=opened if random.random() < 0.5 else None,
    )


def _launched(run: int) -> date:
    return TODAY - timedelta(days=RUNS[run][1])


def opened_shop(database: Database, people: list[Shopper]) -> Shop:
    """Put customers and everything of theirs into a tenant of its own."""
    tenant_id = create_tenant(database, slug=f"s{uuid4().hex[:12]}", name="Small").id
    shop = Shop(tenant_id, people)
    with database.tenant_session(tenant_id) as session:
        _Filler(session, shop).fill()
    return shop


class _Filler:
    """Writes a shop's rows, one kind after the other."""

    def __init__(self, session: Any, shop: Shop) -> None:
        self.session = session
        self.shop = shop
        self.tenant = {"tenant_id": shop.tenant_id}

    def fill(self) -> None:
        self._customers()
        self._values()
        self._receipts()
        self._messages()
        self._audiences()
        self._opt_outs()

    def _add(self, model: Any, rows: list[dict[str, Any]]) -> list[int]:
        """Insert rows of the tenant; their numbers come back in the order of the rows."""
        whole = [self.tenant | row for row in rows]
        if "id" not in table(model).c:
            self.session.execute(insert(table(model)), whole)
            return []
        query = insert(table(model)).returning(table(model).c.id, sort_by_parameter_order=True)
        return list(self.session.scalars(query, whole))

    def _customers(self) -> None:
        zone = table(TimeZone).c
        zones = {name: number for number, name in self.session.execute(select(zone.id, zone.name))}
        rows = [
            {"external_id": p.external_id, "zone_id": zones[p.zone] if p.zone else None}
            | p.attributes
            for p in self.shop.people
        ]
        for person, number in zip(self.shop.people, self._add(Customer, rows), strict=True):
            person.id = number

    def _values(self) -> None:
        rows = [{"code": c, "type": t, "choices": list(CHOICES)} for c, t in FIELDS.items()]
        for field_id, (code, kind) in zip(
            self._add(CustomField, rows), FIELDS.items(), strict=True
        ):
            column = _COLUMN.get(kind, "date_value" if kind == FieldType.DATE else "text_value")
            self._add(
                CustomerValue,
                [
                    {"field_id": field_id, "customer_id": p.id, column: p.values[code]}
                    for p in self.shop.people
                    if code in p.values
                ],
            )

    def _receipts(self) -> None:
        products = [{"external_id": n, "category": c} for n, c in PRODUCTS.items()]
        numbers = dict(zip(PRODUCTS, self._add(Product, products), strict=True))
        bought = [(p.id, receipt) for p in self.shop.people for receipt in p.receipts]
        rows = [
            {
                "customer_id": customer_id,
                "at": r.at,
                "amount": r.amount,
                "items": r.items,
                "cancelled": r.cancelled,
                "bucket": 0,
                "external_id": f"R-{number}",
            }
            for number, (customer_id, r) in enumerate(bought)
        ]
        ids = self._add(Receipt, rows)
        lines = [
            {
                "receipt_id": receipt_id,
                "number": number,
                "product_id": numbers[product],
                "quantity": quantity,
                "amount": amount,
            }
            for receipt_id, (_, r) in zip(ids, bought, strict=True)
            for number, (product, quantity, amount) in enumerate(r.lines)
        ]
        self._add(ReceiptLine, lines)

    def _messages(self) -> None:
        for run, (channel, _, test) in enumerate(RUNS):
            day = _launched(run)
            for month in (day, TODAY):
                make_month(self.session.connection(), month.replace(day=1))
            mailing = {"name": f"M{run}", "channel": channel, "state": MailingState.LAUNCHED}
            (mailing_id,) = self._add(Mailing, [mailing])
            kind = RunKind.TEST if test else RunKind.MAILING
            made = {
                "kind": kind,
                "status": RunStatus.SENT,
                "mailing_id": mailing_id,
                "channel": channel,
                "launched_on": day,
                "seed": 1,
            }
            (run_id,) = self._add(Run, [made])
            if not test:
                self.shop.mailings.append(mailing_id)
            base = {"run_id": run_id, "launched_on": day}
            self._add_messages(base, run)

    def _add_messages(self, base: dict[str, Any], run: int) -> None:
        names = ("state", "due_at", "accepted_at", "bounced_at", "opened_at", "clicked_at")
        rows = [
            self.tenant
            | base
            | {"customer_id": p.id}
            | {name: getattr(message, name) for name in names}
            for p in self.shop.people
            for message in p.messages
            if message.run == run
        ]
        self.session.execute(insert(table(Message)), rows)

    def _audiences(self) -> None:
        self.shop.audiences = self._add(TargetAudience, [{"name": "First"}, {"name": "Second"}])
        rows = [
            {"audience_id": self.shop.audiences[n], "customer_id": p.id}
            for p in self.shop.people
            for n in p.audiences
        ]
        self._add(AudienceMember, rows)

    def _opt_outs(self) -> None:
        news = [{"code": "news", "name": "News"}, {"code": "deals", "name": "Deals"}]
        self.shop.categories = self._add(MailingCategory, news)
        rows = [
            {
                "channel": channel,
                "category_id": [0, *self.shop.categories][n],
                "customer_id": p.id,
                "address": p.attributes["email" if channel == "email" else "phone"],
            }
            for p in self.shop.people
            for channel, n in p.left
        ]
        self._add(OptOut, rows)
