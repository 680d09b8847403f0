"""Customers and receipts by the thousand, made inside the database and always the same.

Every function takes an open connection (or session) of the tenant and names it; nothing here
is random, so that two calls with the same arguments make the same rows.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import Connection, select, text

from envoi.customers.models import Customer
from envoi.customers.token_index import index_tokens
from envoi.db import table


class Executes(Protocol):
    """A `Connection` or a `Session`."""

    def execute(self, statement: Any, parameters: Any = None, /) -> Any:
        """Run one statement."""


_CUSTOMERS = text(
    """
INSERT INTO customer (tenant_id, external_id, bucket, zone_id, gender, email_quality,
    phone_quality, birth_date, registered_on, first_name, last_name, city, email, phone)
SELECT :tenant, external_id, envoi_bucket(external_id), zone.id, i % 3,
    CASE WHEN :emails THEN 0 ELSE 30 END, CASE WHEN :phones THEN 0 ELSE 30 END,
    current_date - (18 * 366 + (i * 37) % (60 * 365))::int,
    current_date - ((i * 13) % 1500)::int,
    (ARRAY['Anna', 'Boris', 'Clara', 'Dmitri', 'Elena', 'Felix', 'Grete'])[i % 7 + 1],
    (ARRAY['Adler', 'Brandt', 'Conrad', 'Dorn', 'Engel'])[i % 5 + 1],
    (ARRAY['Berlin', 'Hamburg', 'Kazan', 'Omsk'])[i % 4 + 1],
    CASE WHEN :emails THEN lower(external_id) || '@mail' || i % 10 || '.test' END,
    CASE WHEN :phones THEN '+4915' || (100000000 + i) END
FROM (SELECT i::int, :prefix || i AS external_id
    FROM generate_series(CAST(:first AS int), :first + :count - 1) AS i) AS made
LEFT JOIN time_zone AS zone ON zone.name = :zone
"""
)


def make_customers(
    connection: Executes,
    tenant_id: int,
    count: int,
    *,
    prefix: str = "C-",
    first: int = 1,
    emails: bool = True,
    phones: bool = False,
    zone: str | None = None,
) -> None:
    """Make customers C-1, C-2, ... with addresses c-1@mail1.test and phones +4915100000001.

    Gender, age (18 to 78), city and registration day go round by the number.
    """
    connection.execute(
        _CUSTOMERS,
        {
            "tenant": tenant_id,
            "count": count,
            "prefix": prefix,
            "first": first,
            "emails": emails,
            "phones": phones,
            "zone": zone,
        },
    )


def index_customers(connection: Connection, tenant_id: int) -> None:
    """Write the search tokens of every customer, as an import does."""
    c = table(Customer).c
    index_tokens(connection, tenant_id, select(c.id).where(c.tenant_id == tenant_id))


def customer_ids(connection: Executes, tenant_id: int, *external_ids: str) -> list[int]:
    """Return internal numbers in the order given; without names, of every customer by number."""
    query = (
        "SELECT id FROM customer JOIN unnest(CAST(:names AS text[])) WITH ORDINALITY AS n(name, at)"
        " ON external_id = name WHERE tenant_id = :tenant ORDER BY at"
        if external_ids
        else "SELECT id FROM customer WHERE tenant_id = :tenant ORDER BY id"
    )
    rows = connection.execute(text(query), {"tenant": tenant_id, "names": list(external_ids)})
    return [row.id for row in rows]


_RECEIPTS = text(
    """
INSERT INTO receipt (tenant_id, customer_id, at, amount, items, bucket, external_id)
SELECT :tenant, id, CAST(:until AS timestamptz) - make_interval(
        mins => ((id * 7919 + n * 104729) % (:days * 1440))::int),
    500 + (id * 31 + n * 997) % 9500, 1 + n % 3, bucket, :prefix || external_id || '-' || n
FROM customer CROSS JOIN generate_series(1, CAST(:each AS int)) AS n
WHERE tenant_id = :tenant AND (id * 2654435761) % 1000 < :share * 1000
"""
)

_LINES = text(
    """
INSERT INTO receipt_line (tenant_id, receipt_id, number, product_id, quantity, amount)
SELECT :tenant, r.id, 1, p.id, r.items, r.amount
FROM receipt AS r
JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place, count(*) OVER () AS all_of_them
    FROM product WHERE tenant_id = :tenant) AS p ON p.place = r.amount % p.all_of_them
WHERE r.tenant_id = :tenant AND starts_with(r.external_id, :prefix)
"""
)


def make_receipts(
    connection: Executes,
    tenant_id: int,
    *,
    each: int = 3,
    days: int = 180,
    until: datetime | None = None,
    share: float = 1.0,
    products: int = 0,
    prefix: str = "R-",
) -> None:
    """Make `each` receipts for a share of all customers, spread over the days before `until`.

    Amounts are 5.00 to 99.99; with `products` every receipt gets one line of one of them.
    """
    numbers = {"tenant": tenant_id, "each": each, "days": days, "share": share, "prefix": prefix}
    connection.execute(_RECEIPTS, numbers | {"until": until or datetime.now(UTC)})
    if products:
        make_products(connection, tenant_id, products)
        connection.execute(_LINES, {"tenant": tenant_id, "prefix": prefix})


def make_products(connection: Executes, tenant_id: int, count: int) -> None:
    """Make products P-1, P-2, ... in three categories; those that exist stay."""
    connection.execute(
        text(
            "INSERT INTO product (tenant_id, external_id, name, category)"
            " SELECT :tenant, 'P-' || i, 'Product ' || i,"
            " (ARRAY['Bread', 'Coffee', 'Garden'])[i % 3 + 1]"
            " FROM generate_series(1, CAST(:count AS int)) AS i"
            " ON CONFLICT (tenant_id, external_id) DO NOTHING"
        ),
        {"tenant": tenant_id, "count": count},
    )


def opt_out(
    connection: Executes,
    tenant_id: int,
    *external_ids: str,
    channel: str = "email",
    category_id: int = 0,
) -> None:
    """Let these customers leave a channel (or, with its number, a mailing category)."""
    address = "email" if channel == "email" else "phone"
    connection.execute(
        text(
            "INSERT INTO opt_out (tenant_id, channel, category_id, customer_id, address)"
            f" SELECT :tenant, :channel, :category, id, {address} FROM customer"
            " WHERE tenant_id = :tenant AND external_id = ANY(:names)"
        ),
        {
            "tenant": tenant_id,
            "channel": channel,
            "category": category_id,
            "names": list(external_ids),
        },
    )


FEMALE, MALE, NOT_STATED = 1, 2, 0
WORKED_STRATA = {
    (FEMALE, 23): 1204,
    (FEMALE, 36): 2911,
    (FEMALE, 51): 2587,
    (FEMALE, 67): 1633,
    (MALE, 23): 842,
    (MALE, 36): 1987,
    (MALE, 51): 1604,
    (MALE, 67): 873,
    (NOT_STATED, 23): 128,
    (NOT_STATED, 36): 243,
    (NOT_STATED, 51): 161,
    (NOT_STATED, 67): 82,
}
"""Good recipients of the worked example by gender and age; bands 18-29, 30-44, 45-59, 60+."""

WORKED_CONTROL = (84, 204, 181, 115, 59, 139, 112, 61, 9, 17, 11, 6)
"""Control group by stratum at 7 %, in the order of `WORKED_STRATA`."""

_WORKED = text(
    """
INSERT INTO customer (tenant_id, external_id, bucket, gender, email_quality, birth_date,
    registered_on, first_name, last_name, city, email)
SELECT :tenant, external_id, envoi_bucket(external_id), gender,
    CASE WHEN kind = 'N' THEN 30 ELSE 0 END,
    (current_date - make_interval(years => age, days => 100))::date, current_date - 200,
    'Robin', 'Example', 'Berlin',
    CASE WHEN kind <> 'N' THEN lower(external_id) || '@example.test' END
FROM (SELECT kind, gender, age, format('%s-%s-%s-%s', kind, gender, age, i) AS external_id
    FROM unnest(CAST(:kinds AS text[]), CAST(:genders AS int[]), CAST(:ages AS int[]),
        CAST(:counts AS int[])) AS s(kind, gender, age, n)
    CROSS JOIN LATERAL generate_series(1, n) AS i) AS made
"""
)


def make_worked_example(connection: Executes, tenant_id: int) -> None:
    """Make the 14,730 customers of the worked example.

    71 have no address ('N-...'), 404 left the email channel ('U-...'), 14,255 are good
    ('G-...') with the strata of `WORKED_STRATA`; 7 % of them are the control group of 998.
    """
    rows = [("G", gender, age, n) for (gender, age), n in WORKED_STRATA.items()]
    rows += [("N", FEMALE, 36, 71), ("U", FEMALE, 36, 204), ("U", MALE, 51, 200)]
    kinds, genders, ages, counts = (list(column) for column in zip(*rows, strict=True))
    connection.execute(
        _WORKED,
        {"tenant": tenant_id, "kinds": kinds, "genders": genders, "ages": ages, "counts": counts},
    )
    connection.execute(
        text(
            "INSERT INTO opt_out (tenant_id, channel, category_id, customer_id, address)"
            " SELECT :tenant, 'email', 0, id, email FROM customer"
            " WHERE tenant_id = :tenant AND starts_with(external_id, 'U-')"
        ),
        {"tenant": tenant_id},
    )
    connection.execute(text("ANALYZE customer, opt_out"))
