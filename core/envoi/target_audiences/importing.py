"""Import of target audiences: customers by number, for one audience or for one named in each row.

A number is the customer's external id or, where there is none, our own. Audiences that do not
exist yet are made; customers that are unknown are refused line by line.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    TableClause,
    and_,
    delete,
    func,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql as pg

from envoi.customers.csv_reader import Columns, LineRefusedError, Row, plain_cell
from envoi.customers.error_file import ErrorFile
from envoi.customers.mapping import Mapping
from envoi.customers.models import Customer
from envoi.customers.staging import Applied, each_deleted
from envoi.db import table
from envoi.target_audiences.models import AudienceMember, TargetAudience
from envoi.target_audiences.service import one_change_at_a_time

COLUMNS = Columns(required=("customer_id",), optional=("audience",))
AUDIENCE = "audience"
"""The option of a mapping that names the audience of a whole file."""

_HEADINGS = ("customer_id", "external_id", "customer", "id")
_LONGEST_ID, _LONGEST_NAME = 200, 200
_OUR_NUMBER = r"^[0-9]{1,18}$"


class AudienceImport:
    """Adds the customers of a file to target audiences."""

    def __init__(self, _connection: Connection, tenant_id: int, mapping: Mapping) -> None:
        self._tenant_id = tenant_id
        self._account_id = int(mapping.options.get("account", 0)) or None
        self._whole = mapping.options.get(AUDIENCE, "").strip()
        self._customer = mapping.columns.index("customer_id")
        named = "audience" in mapping.columns
        self._audience = mapping.columns.index("audience") if named else None
        self.notes: list[str] = []
        self.staging = [("customer_id", "text"), ("audience", "text"), ("customer", "bigint")]

    def read(self, row: Row) -> Sequence[Any]:
        """Return the customer's number and the audience's name."""
        number = row.cells[self._customer]
        name = self._whole or ("" if self._audience is None else row.cells[self._audience])
        if not number or len(number) > _LONGEST_ID:
            raise LineRefusedError("The line has no customer number. Enter one.")
        if not name or len(name) > _LONGEST_NAME:
            raise LineRefusedError(
                f"The line names no target audience of 1 to {_LONGEST_NAME} characters."
            )
        return (number, name, None)

    def remains(self, row: Row) -> None:
        """Leave nothing of a refused row."""

    def settle(self, connection: Connection, staged: TableClause, errors: ErrorFile) -> int:
        """Find the customers, refuse who is unknown, and keep the last of the same rows."""
        self._find(connection, staged)
        unknown = delete(staged).where(staged.c.customer.is_(None))
        each_deleted(
            connection,
            unknown.returning(staged.c.line, staged.c.customer_id),
            partial(_refuse_unknown, errors),
        )
        return _drop_doubled(connection, staged, errors)

    def apply(self, connection: Connection, batch: TableClause) -> Applied:
        """Make the audiences that are new and add the customers who are not in them."""
        self._make(connection, batch)
        added = self._add(connection, batch)
        rows = connection.scalar(select(func.count()).select_from(batch)) or 0
        return Applied(created=added, unchanged=rows - added)

    def _find(self, connection: Connection, staged: TableClause) -> None:
        c = table(Customer).c
        mine = c.tenant_id == self._tenant_id
        external = update(staged).values(customer=c.id)
        connection.execute(external.where(mine, c.external_id == staged.c.customer_id))
        connection.execute(
            text(
                "UPDATE staged SET customer = c.id FROM customer AS c WHERE c.tenant_id = :tenant"
                " AND staged.customer IS NULL AND c.id = CASE WHEN staged.customer_id ~ :number"
                " THEN staged.customer_id::bigint END"
            ),
            {"tenant": self._tenant_id, "number": _OUR_NUMBER},
        )

    def _make(self, connection: Connection, batch: TableClause) -> None:
        names = select(
            literal(self._tenant_id), batch.c.audience, literal(self._account_id, Integer)
        ).distinct()
        new = pg.insert(table(TargetAudience)).from_select(
            ["tenant_id", "name", "created_by"], names.order_by(batch.c.audience)
        )
        connection.execute(new.on_conflict_do_nothing(index_elements=["tenant_id", "name"]))

    def _add(self, connection: Connection, batch: TableClause) -> int:
        audience, member = table(TargetAudience), table(AudienceMember)
        mine = audience.c.tenant_id == self._tenant_id
        named = select(batch.c.audience).distinct()
        ids = connection.scalars(select(audience.c.id).where(mine, audience.c.name.in_(named)))
        one_change_at_a_time(connection, self._tenant_id, ids)
        rows: Any = select(literal(self._tenant_id), audience.c.id, batch.c.customer).join_from(
            batch, audience, and_(mine, audience.c.name == batch.c.audience)
        )
        key = ["tenant_id", "audience_id", "customer_id"]
        new = pg.insert(member).from_select(key, rows).on_conflict_do_nothing()
        added = new.returning(member.c.audience_id).cte("added")
        counted = select(added.c.audience_id, func.count().label("customers"))
        grown = counted.group_by(added.c.audience_id).cte("grown")
        changed = (
            update(audience)
            .where(mine, audience.c.id == grown.c.audience_id)
            .values(size=audience.c.size + grown.c.customers, updated_at=func.now())
            .returning(grown.c.customers)
        )
        return sum(connection.scalars(changed))


def with_heading(path: Path, *, named: bool) -> None:
    """Give a list of customers the heading that imports need, and take odd ends of lines away.

    `123;` and `123; VIP;` are read, a mark at the beginning of the file too. Lines of a file
    without a heading count from 2 then.
    """
    new = path.with_suffix(".new")
    with path.open(encoding="utf-8-sig", newline="") as source, new.open("w") as target:
        new.chmod(0o600)
        lines = (line.rstrip("\r\n") for line in source)
        first = next(lines, "")
        target.write("customer_id;audience\n" if named else "customer_id\n")
        if _cells(first)[0].lower() not in _HEADINGS:
            target.write(_plain(first, named=named))
        for line in lines:
            target.write(_plain(line, named=named))
    new.replace(path)


def _plain(line: str, *, named: bool) -> str:
    number, *rest = _cells(line)
    if not number and not rest:
        return "\n"
    return (
        f"{_quoted(number)};{_quoted(rest[0] if rest else '')}\n"
        if named
        else _quoted(number) + "\n"
    )


def _cells(line: str) -> list[str]:
    """The number and, after the first separator, the audience's name, without odd ends."""
    found = next((mark for mark in (";", "\t", ",") if mark in line), ";")
    number, _mark, name = line.partition(found)
    name = name.strip().rstrip(found).strip()
    return [plain_cell(cell.strip().strip('"')) for cell in ((number, name) if name else (number,))]


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def _refuse_unknown(errors: ErrorFile, line: int, number: str) -> None:
    errors.refuse(line, f"There is no customer with the number '{number}'.", number)


def _drop_doubled(connection: Connection, staged: TableClause, errors: ErrorFile) -> int:
    """Keep the first of the rows that name the same customer and audience."""
    first = (
        select(staged.c.customer, staged.c.audience, func.min(staged.c.line).label("line"))
        .group_by(staged.c.customer, staged.c.audience)
        .having(func.count() > 1)
        .subquery()
    )
    doubled = delete(staged).where(
        staged.c.customer == first.c.customer,
        staged.c.audience == first.c.audience,
        staged.c.line > first.c.line,
    )

    def say(line: int, number: str) -> None:
        errors.warn(line, f"The customer '{number}' stands in an earlier line already.", number)

    return each_deleted(connection, doubled.returning(staged.c.line, staged.c.customer_id), say)
