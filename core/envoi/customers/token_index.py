"""Keeps the table of search tokens in step with customers, for imports and edits alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Select, column, delete, exists, literal, select, table, text
from sqlalchemy.dialects import postgresql as pg

from envoi.customers.models import Customer, CustomerToken
from envoi.customers.staging import copy_rows, make_temporary
from envoi.customers.tokens import PERSONAL, search_tokens
from envoi.db import table as table_of

_BATCH = 20_000
_FRESH = table("fresh", column("customer_id"), column("token"))


def index_tokens(connection: Connection, tenant_id: int, customers: Select[Any]) -> None:
    """Write the search tokens of these customers anew.

    Args:
        connection: An open transaction of the tenant.
        tenant_id: The tenant.
        customers: Selects internal customer numbers.
    """
    _gather(connection, tenant_id, customers)
    token = table_of(CustomerToken)
    still = exists().where(
        _FRESH.c.customer_id == token.c.customer_id, _FRESH.c.token == token.c.token
    )
    mine = (token.c.tenant_id == tenant_id, token.c.customer_id.in_(customers))
    connection.execute(delete(token).where(*mine, ~still))
    connection.execute(_stored(tenant_id).on_conflict_do_nothing())
    connection.execute(text("DROP TABLE fresh"))


def index_new(connection: Connection, tenant_id: int, customers: Select[Any]) -> None:
    """Write the search tokens of customers who have none yet: of many, in half the time."""
    _gather(connection, tenant_id, customers)
    connection.execute(_stored(tenant_id))
    connection.execute(text("DROP TABLE fresh"))


def _gather(connection: Connection, tenant_id: int, customers: Select[Any]) -> None:
    """Put the tokens of these customers into a temporary table."""
    make_temporary(connection, "fresh", [("customer_id", "bigint"), ("token", 'text COLLATE "C"')])
    c = table_of(Customer).c
    query = select(c.id, *(c[name] for name in PERSONAL)).where(
        c.tenant_id == tenant_id, c.id.in_(customers)
    )
    rows = connection.execute(query, execution_options={"yield_per": _BATCH})
    for batch in rows.partitions():
        copy_rows(connection, "fresh", _tokens(batch))


def _tokens(customers: Any) -> Iterator[tuple[int, str]]:
    for customer in customers:
        for token in search_tokens(*customer[1:]):
            yield customer[0], token


def _stored(tenant_id: int) -> pg.Insert:
    rows = select(literal(tenant_id), _FRESH.c.token, _FRESH.c.customer_id)
    return pg.insert(table_of(CustomerToken)).from_select(
        ["tenant_id", "token", "customer_id"], rows.order_by(_FRESH.c.token)
    )
