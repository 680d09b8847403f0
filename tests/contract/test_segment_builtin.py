"""The built-in segment sources keep the contract of segment sources."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from envoi.customers.models import Customer, CustomerValue, CustomField, FieldType, Gender
from envoi.db import Database, table
from envoi.delivery.models import Message, MessageState, Run
from envoi.receipts.models import Product, Receipt, ReceiptLine
from envoi.schema import make_month
from envoi.segments.models import Segment
from envoi.subscriptions.models import WHOLE_CHANNEL, OptOut
from envoi.target_audiences.models import AudienceMember, TargetAudience
from envoi.testing import SegmentSourceContract
from envoi.testing.segment_source import CUSTOMERS
from envoi.types import SegmentSourceSpec
from envoi_segment_builtin import register_segment_sources

SPECS = {spec.name: spec for spec in register_segment_sources()}


def ids_of(session: Session, tenant_id: int, *names: str) -> list[int]:
    customer = table(Customer).c
    query = select(customer.id).where(
        customer.tenant_id == tenant_id, customer.external_id.in_(names)
    )
    return list(session.scalars(query))


class BuiltIn:
    """The source of a name, on the database that all tests share."""

    source = ""

    @pytest.fixture
    def spec(self) -> SegmentSourceSpec:
        return SPECS[self.source]

    @pytest.fixture
    def segment_database(self, database: Database) -> Database:
        return database


class TestAttribute(BuiltIn, SegmentSourceContract):
    source = "attribute"

    def settings(self, session: Session, tenant_id: int) -> dict[str, Any]:
        return {"criterion": "gender", "operator": "is", "value": "female"}

    def prepare(self, session: Session, tenant_id: int) -> Collection[str]:
        customer = table(Customer)
        mine = customer.c.external_id.in_(["C-2", "C-5"])
        session.execute(
            update(customer)
            .where(customer.c.tenant_id == tenant_id, mine)
            .values(gender=Gender.FEMALE)
        )
        return ["C-2", "C-5"]


class TestCustomField(BuiltIn, SegmentSourceContract):
    source = "custom_field"

    def settings(self, session: Session, tenant_id: int) -> dict[str, Any]:
        self.field(session, tenant_id)
        return {"criterion": "shoe_size", "operator": "ge", "value": 40}

    def field(self, session: Session, tenant_id: int) -> int:
        """The number of the tenant's field, which is made where it is missing."""
        field = table(CustomField).c
        found = session.scalar(select(field.id).where(field.tenant_id == tenant_id))
        if found is not None:
            return int(found)
        made = CustomField(tenant_id=tenant_id, code="shoe_size", type=FieldType.NUMBER)
        session.add(made)
        session.flush()
        return made.id

    def prepare(self, session: Session, tenant_id: int) -> Collection[str]:
        field_id = self.field(session, tenant_id)
        sizes = {"C-1": 39.5, "C-3": 40, "C-4": 44}
        session.execute(
            insert(table(CustomerValue)),
            [
                {
                    "tenant_id": tenant_id,
                    "field_id": field_id,
                    "customer_id": ids_of(session, tenant_id, name)[0],
                    "number_value": size,
                }
                for name, size in sizes.items()
            ],
        )
        return ["C-3", "C-4"]


class TestReceipts(BuiltIn, SegmentSourceContract):
    source = "receipts"

    def settings(self, session: Session, tenant_id: int) -> dict[str, Any]:
        return {"criterion": "sum", "operator": "ge", "value": 20.5, "within_days": 30}

    def prepare(self, session: Session, tenant_id: int) -> Collection[str]:
        """C-1 is short of a cent, C-2 just there, C-3 too long ago, C-4 cancelled."""
        now = datetime.now(UTC)
        bought = [
            *(("C-1", 1000, 1, False), ("C-1", 1049, 2, False)),
            *(("C-2", 1000, 1, False), ("C-2", 1050, 2, False)),
            *(("C-3", 9900, 40, False), ("C-4", 9900, 1, True)),
        ]
        session.execute(
            insert(table(Receipt)),
            [
                {
                    "tenant_id": tenant_id,
                    "customer_id": ids_of(session, tenant_id, name)[0],
                    "at": now - timedelta(days=days),
                    "amount": amount,
                    "bucket": 0,
                    "cancelled": cancelled,
                    "external_id": f"R-{number}",
                }
                for number, (name, amount, days, cancelled) in enumerate(bought)
            ],
        )
        return ["C-2"]


class TestPurchases(BuiltIn, SegmentSourceContract):
    source = "purchases"

    def settings(self, session: Session, tenant_id: int) -> dict[str, Any]:
        return {"criterion": "quantity", "operator": "ge", "value": 3, "products": ["tea"]}

    def prepare(self, session: Session, tenant_id: int) -> Collection[str]:
        """C-1 has too few, C-2 just enough of two receipts, C-3 another product."""
        products = {
            name: session.scalar(
                insert(table(Product))
                .values(tenant_id=tenant_id, external_id=name)
                .returning(table(Product).c.id)
            )
            for name in ("tea", "milk")
        }
        bought = [("C-1", "tea", 2.5), ("C-2", "tea", 1), ("C-2", "tea", 2), ("C-3", "milk", 9)]
        for number, (name, product, quantity) in enumerate(bought):
            receipt = Receipt(
                tenant_id=tenant_id,
                customer_id=ids_of(session, tenant_id, name)[0],
                at=datetime.now(UTC),
                amount=100,
                bucket=0,
                external_id=f"R-{number}",
            )
            session.add(receipt)
            session.flush()
            line = {"product_id": products[product], "quantity": quantity, "amount": 100}
            key = {"tenant_id": tenant_id, "receipt_id": receipt.id, "number": 1}
            session.execute(insert(table(ReceiptLine)).values(key | line))
        return ["C-2"]


class TestMessages(BuiltIn, SegmentSourceContract):
    source = "messages"

    def settings(self, session: Session, tenant_id: int) -> dict[str, Any]:
        return {"criterion": "received", "operator": "once", "within_days": 7}

    def prepare(self, session: Session, tenant_id: int) -> Collection[str]:
        """C-1 got one, C-2 too long ago, the one to C-3 came back, C-4 was of the control group."""
        now = datetime.now(UTC)
        make_month(session.connection(), now.date().replace(day=1))
        run = Run(tenant_id=tenant_id, channel="email", launched_on=now.date(), seed=1)
        session.add(run)
        session.flush()
        accepted, long_ago = {"accepted_at": now}, {"accepted_at": now - timedelta(days=9)}
        got: dict[str, dict[str, Any]] = {
            "C-1": {"state": MessageState.ACCEPTED, **accepted},
            "C-2": {"state": MessageState.ACCEPTED, **long_ago},
            "C-3": {"state": MessageState.ACCEPTED, "bounced_at": now, **accepted},
            "C-4": {"state": MessageState.CONTROL},
        }
        for name, values in got.items():
            row = {"tenant_id": tenant_id, "run_id": run.id, "launched_on": run.launched_on}
            customer_id = ids_of(session, tenant_id, name)[0]
            session.execute(
                insert(table(Message)).values({**row, "customer_id": customer_id, **values})
            )
        return ["C-1"]


class TestSubscription(BuiltIn, SegmentSourceContract):
    source = "subscription"

    def settings(self, session: Session, tenant_id: int) -> dict[str, Any]:
        return {"criterion": "subscription", "operator": "is_not", "channel": "email"}

    def prepare(self, session: Session, tenant_id: int) -> Collection[str]:
        """C-1 has left, C-2 shares the address; C-3 left another channel."""
        customer = table(Customer)
        for name in ("C-1", "C-2"):
            mine = (customer.c.tenant_id == tenant_id, customer.c.external_id == name)
            session.execute(update(customer).where(*mine).values(email="us@shop.test"))
        for name, channel in (("C-1", "email"), ("C-3", "sms")):
            row = {
                "tenant_id": tenant_id,
                "channel": channel,
                "category_id": WHOLE_CHANNEL,
                "customer_id": ids_of(session, tenant_id, name)[0],
                "address": "us@shop.test" if channel == "email" else None,
            }
            session.execute(insert(table(OptOut)).values(row))
        return ["C-1", "C-2"]


class TestAudiences(BuiltIn, SegmentSourceContract):
    source = "audience"

    def settings(self, session: Session, tenant_id: int) -> dict[str, Any]:
        return {
            "criterion": "audience",
            "operator": "in",
            "audience": self.audience(session, tenant_id),
        }

    def audience(self, session: Session, tenant_id: int) -> int:
        """The number of the tenant's audience, which is made where it is missing."""
        row = table(TargetAudience)
        found = session.scalar(select(row.c.id).where(row.c.tenant_id == tenant_id))
        if found is None:
            made = insert(row).values(tenant_id=tenant_id, name="Friends").returning(row.c.id)
            found = session.scalar(made)
        return int(found)

    def prepare(self, session: Session, tenant_id: int) -> Collection[str]:
        audience_id = self.audience(session, tenant_id)
        rows = [
            {"tenant_id": tenant_id, "audience_id": audience_id, "customer_id": customer_id}
            for customer_id in ids_of(session, tenant_id, "C-4", "C-6")
        ]
        session.execute(insert(table(AudienceMember)), rows)
        return ["C-4", "C-6"]


class TestAllCustomers(BuiltIn, SegmentSourceContract):
    source = "all_customers"

    def settings(self, session: Session, tenant_id: int) -> dict[str, Any]:
        return {}

    def prepare(self, session: Session, tenant_id: int) -> Collection[str]:
        return CUSTOMERS


class TestSegments(BuiltIn, SegmentSourceContract):
    source = "segment"

    def settings(self, session: Session, tenant_id: int) -> dict[str, Any]:
        segment = table(Segment).c
        query = select(segment.id).where(segment.tenant_id == tenant_id)
        if (found := session.scalar(query)) is None:
            self.prepare(session, tenant_id)
        return {"criterion": "segment", "operator": "in", "segment": found or session.scalar(query)}

    def prepare(self, session: Session, tenant_id: int) -> Collection[str]:
        settings = {"criterion": "external_id", "operator": "in", "values": ["C-7", "C-8", "X-1"]}
        tree = {"all": [{"source": "attribute", "settings": settings}]}
        session.add(Segment(tenant_id=tenant_id, name="Seven and eight", tree=tree))
        session.flush()
        return ["C-7", "C-8"]


class TestExternalIds(BuiltIn, SegmentSourceContract):
    """A source whose ids come from outside: repeated, unknown, in any order."""

    @pytest.fixture
    def spec(self) -> SegmentSourceSpec:
        return SegmentSourceSpec(
            name="warehouse",
            label="Warehouse",
            settings=Query,
            iter_external_ids=lambda query: iter([*query.ids, "C-9", "nobody", "C-2", "C-9"]),
        )

    def settings(self, session: Session, tenant_id: int) -> dict[str, Any]:
        return {"ids": ["C-14"]}

    def prepare(self, session: Session, tenant_id: int) -> Collection[str]:
        return ["C-2", "C-9", "C-14"]


class Query(BaseModel):
    ids: list[str]
