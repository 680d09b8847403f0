"""Puts runs and messages into a tenant's ledger, for tests of what happens after sending."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import Connection, insert, text
from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.delivery.models import Link, Message, MessageState, Run, RunKind, RunStatus
from envoi.mailings.models import Mailing, MailingState
from envoi.receipts.models import Receipt
from envoi.schema import make_month
from envoi.tracking.tokens import MessageRef

NOW = datetime.now(UTC).replace(microsecond=0)
_numbers = count(1)


@dataclass(frozen=True)
class LedgerRun:
    """A launched mailing with its run."""

    tenant_id: int
    mailing_id: int
    run_id: int
    launched_on: date

    def ref(self, customer_id: int, variant: int = 1) -> MessageRef:
        """The reference to a customer's message."""
        return MessageRef(
            tenant_id=self.tenant_id,
            run_id=self.run_id,
            customer_id=customer_id,
            launched_on=self.launched_on,
            step=1,
            variant=variant,
        )


def add_customers(database: Database, tenant_id: int, number: int) -> list[int]:
    """Add customers with an email address and return their ids."""
    with database.tenant_session(tenant_id) as session:
        rows = [
            {
                "tenant_id": tenant_id,
                "external_id": f"L{next(_numbers)}",
                "bucket": 0,
                "first_name": "Ann",
                "email": f"ann{next(_numbers)}@shop.test",
                "email_quality": 0,
            }
            for _ in range(number)
        ]
        customer = table(Customer)
        return list(session.scalars(insert(customer).returning(customer.c.id), rows))


def add_run(
    database: Database,
    tenant_id: int,
    *,
    launched_at: datetime = NOW,
    attribution_days: int = 14,
    kind: RunKind = RunKind.MAILING,
    category_id: int | None = None,
    links: Mapping[int, str] | None = None,
    control_share: float = 0.0,
    channel: str = "email",
    **frozen: Any,
) -> LedgerRun:
    """Add a sent mailing and its run; `frozen` are further settings of the run."""
    with database.tenant_session(tenant_id) as session:
        make_month(session.connection(), launched_at.date().replace(day=1))
        settings = {"attribution_days": attribution_days, "category_id": category_id}
        mailing = Mailing(
            tenant_id=tenant_id,
            name="Coffee week",
            channel=channel,
            state=MailingState.LAUNCHED,
            attribution_days=attribution_days,
            control_share=control_share,
            starts_at=launched_at,
        )
        session.add(mailing)
        session.flush()
        run = Run(
            tenant_id=tenant_id,
            kind=kind,
            status=RunStatus.SENT,
            mailing_id=mailing.id,
            channel=channel,
            launched_on=launched_at.date(),
            seed=1,
            settings=settings | {"control_share": control_share} | frozen,
            created_at=launched_at,
            finished_at=launched_at + timedelta(minutes=11),
        )
        session.add(run)
        session.flush()
        mailing.run_id = run.id
        for number, target in (links or {}).items():
            session.add(
                Link(tenant_id=tenant_id, run_id=run.id, variant=1, number=number, target=target)
            )
        return LedgerRun(tenant_id, mailing.id, run.id, run.launched_on)


def add_messages(
    database: Database, run: LedgerRun, customers: Iterable[int], **values: Any
) -> None:
    """Add a message for every customer; accepted an hour ago unless `values` say otherwise."""
    base = {
        "tenant_id": run.tenant_id,
        "run_id": run.run_id,
        "launched_on": run.launched_on,
        "step": 1,
        "state": MessageState.ACCEPTED,
        "variant": 1,
        "accepted_at": NOW - timedelta(hours=1),
    }
    rows = [base | values | {"customer_id": customer} for customer in customers]
    with database.tenant_connection(run.tenant_id) as connection:
        connection.execute(insert(table(Message)), rows)


def add_receipt(
    database: Database,
    tenant_id: int,
    customer_id: int,
    at: datetime,
    amount: int = 1_000,
    *,
    cancelled: bool = False,
) -> int:
    """Add a receipt and return its id."""
    receipt = Receipt(
        tenant_id=tenant_id,
        customer_id=customer_id,
        at=at,
        amount=amount,
        bucket=0,
        cancelled=cancelled,
        external_id=f"R{next(_numbers)}",
    )
    with database.tenant_session(tenant_id) as session:
        session.add(receipt)
    return receipt.id


def facts(database: Database, run: LedgerRun, customer_id: int) -> Any:
    """Read a message's row."""
    with database.tenant_connection(run.tenant_id) as connection:
        return connection.execute(
            text(
                "SELECT * FROM message WHERE tenant_id = :t AND run_id = :r AND customer_id = :c"
                " AND launched_on = :d"
            ),
            {"t": run.tenant_id, "r": run.run_id, "c": customer_id, "d": run.launched_on},
        ).one()


def scalar(where: Connection | Session, sql: str, **values: Any) -> Any:
    """Read one value."""
    return where.execute(text(sql), values).scalar()
