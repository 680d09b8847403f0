"""Import of customers: a file is copied beside the tables, then joined in by sets.

Rows are found by external id; only the columns that the file has are changed, and only where
a value differs, so that repeating an import changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    TableClause,
    any_,
    delete,
    distinct,
    func,
    insert,
    literal,
    or_,
    select,
    text,
)
from sqlalchemy.dialects import postgresql as pg

from envoi.customers.csv_reader import Row
from envoi.customers.customer_file import CustomerFile, Surroundings
from envoi.customers.error_file import ErrorFile
from envoi.customers.fields import Field, ensure_fields, fields_of
from envoi.customers.mapping import Mapping
from envoi.customers.models import Customer, CustomerValue
from envoi.customers.staging import (
    CREATED,
    TOUCHED,
    Applied,
    applied,
    drop_superseded,
    make_temporary,
    make_touched,
    touch,
)
from envoi.customers.token_index import index_new, index_tokens
from envoi.customers.tokens import PERSONAL
from envoi.db import table
from envoi.subscriptions.models import WHOLE_CHANNEL, ConsentLog, OptOut
from envoi.tenants.models import TenantSettings, TimeZone

_ADDRESSES = {"email": "email", "sms": "phone"}


class CustomerImport:
    """Creates and changes customers; see `customer_file` for the columns."""

    def __init__(self, connection: Connection, tenant_id: int, mapping: Mapping) -> None:
        self._tenant_id = tenant_id
        self._file = CustomerFile(mapping.columns, _surroundings(connection, tenant_id, mapping))
        self.notes = self._file.notes
        self.staging = self._file.staging
        self.read = self._file.read

    def remains(self, row: Row) -> None:
        """Leave nothing of a refused row."""

    def settle(self, connection: Connection, staged: TableClause, errors: ErrorFile) -> int:
        """Keep the last of the rows with the same external id."""
        return drop_superseded(connection, staged, ["external_id"], errors)

    def apply(self, connection: Connection, batch: TableClause) -> Applied:
        """Create and change the customers of a batch."""
        tenant_id, file = self._tenant_id, self._file
        kept = _count_opted_out(connection, tenant_id, batch)
        make_touched(connection)
        _upsert(connection, tenant_id, batch, file.customer_columns)
        index_new(connection, tenant_id, select(TOUCHED.c.id).where(TOUCHED.c.created))
        if set(file.customer_columns) & set(PERSONAL):
            index_tokens(connection, tenant_id, select(TOUCHED.c.id).where(~TOUCHED.c.created))
        known = ensure_fields(connection, tenant_id, file.fields.values()) if file.fields else {}
        numbered = self._numbered(connection, batch)
        for name, code in file.fields.items():
            _set_values(connection, tenant_id, numbered, name, known[code])
        for name, channel in file.channels.items():
            _opt_out(connection, tenant_id, numbered, name, channel)
        return applied(connection, batch.c.external_id, kept)

    def _numbered(self, connection: Connection, batch: TableClause) -> TableClause:
        """Make a table of what is stored outside of `customer`, by the number of each customer.

        Of customers and values that the import has just made the planner knows nothing; of this
        table it knows all, so that no statement walks through everything for every row.
        """
        apart = {*self._file.fields, *self._file.channels}
        columns = [("id", "bigint"), *(c for c in self._file.staging if c[0] in apart)]
        numbered = make_temporary(connection, "numbered", columns)
        c = table(Customer).c
        rows = select(c.id, *(batch.c[name] for name, _ in columns[1:])).where(
            c.tenant_id == self._tenant_id, c.external_id == batch.c.external_id
        )
        connection.execute(insert(numbered).from_select(list(numbered.c.keys()), rows))
        connection.execute(text("ANALYZE numbered"))
        return numbered


def _surroundings(connection: Connection, tenant_id: int, mapping: Mapping) -> Surroundings:
    settings, zone = table(TenantSettings).c, table(TimeZone).c
    country = connection.scalar(
        select(settings.default_country).where(settings.tenant_id == tenant_id)
    )
    return Surroundings(
        country=country or "",
        zones={row.name: row.id for row in connection.execute(select(zone.name, zone.id))},
        fields={field.code: field for field in fields_of(connection, tenant_id)},
        style=mapping.style,
    )


def _count_opted_out(connection: Connection, tenant_id: int, batch: TableClause) -> int:
    opted, customer = table(OptOut), table(Customer)
    query = select(func.count(distinct(customer.c.id))).where(
        customer.c.tenant_id == tenant_id,
        customer.c.external_id == batch.c.external_id,
        opted.c.tenant_id == tenant_id,
        opted.c.customer_id == customer.c.id,
    )
    return connection.scalar(query) or 0


def _upsert(
    connection: Connection, tenant_id: int, staged: TableClause, given: Sequence[str]
) -> None:
    customer = table(Customer)
    rows = select(
        literal(tenant_id),
        func.envoi_bucket(staged.c.external_id),
        staged.c.external_id,
        *(staged.c[name] for name in given),
    ).order_by(staged.c.line)
    new = pg.insert(customer).from_select(["tenant_id", "bucket", "external_id", *given], rows)
    key = ["tenant_id", "external_id"]
    if given:
        differs = or_(*(customer.c[n].is_distinct_from(new.excluded[n]) for n in given))
        changes: dict[str, Any] = {name: new.excluded[name] for name in given}
        changes["updated_at"] = func.now()
        new = new.on_conflict_do_update(index_elements=key, set_=changes, where=differs)
    else:
        new = new.on_conflict_do_nothing(index_elements=key)
    touch(connection, new.returning(customer.c.id, CREATED).cte("written"))


def _set_values(
    connection: Connection, tenant_id: int, numbered: TableClause, name: str, field: Field
) -> None:
    """Store a custom field's values; an empty cell takes the value away."""
    value, cell, customer_id = table(CustomerValue), numbered.c[name], numbered.c.id
    column = value.c[field.value_column]
    rows = select(literal(tenant_id), literal(field.id), customer_id, cell)
    new = pg.insert(value).from_select(
        ["tenant_id", "field_id", "customer_id", column.name], rows.where(cell.is_not(None))
    )
    stored = new.on_conflict_do_update(
        index_elements=["tenant_id", "field_id", "customer_id"],
        set_={column.name: new.excluded[column.name]},
        where=column.is_distinct_from(new.excluded[column.name]),
    )
    touch(connection, stored.returning(value.c.customer_id).cte("stored"))
    # An array is read once, where a table may be walked through for every value there is.
    empty = select(customer_id).where(cell.is_(None)).scalar_subquery()
    emptied = delete(value).where(
        value.c.tenant_id == tenant_id,
        value.c.field_id == field.id,
        value.c.customer_id == any_(func.array(empty)),
    )
    touch(connection, emptied.returning(value.c.customer_id).cte("emptied"))


def _opt_out(
    connection: Connection, tenant_id: int, numbered: TableClause, name: str, channel: str
) -> None:
    """Opt out who has an N; a Y changes nothing, so that who left a channel stays away."""
    opted, log, customer = table(OptOut), table(ConsentLog), table(Customer)
    address = customer.c[_ADDRESSES[channel]] if channel in _ADDRESSES else literal(None)
    rows = select(
        literal(tenant_id), literal(channel), literal(WHOLE_CHANNEL), customer.c.id, address
    ).where(
        customer.c.tenant_id == tenant_id,
        customer.c.id == numbered.c.id,
        numbered.c[name],
    )
    key = ["tenant_id", "channel", "category_id", "customer_id"]
    left = (
        pg.insert(opted)
        .from_select([*key, "address"], rows)
        .on_conflict_do_nothing(index_elements=key)
        .returning(*(opted.c[n] for n in (*key, "address")))
        .cte("left")
    )
    entries = select(*left.c, literal("opt_out"), literal("import"))
    logged = insert(log).from_select([*key, "address", "action", "source"], entries)
    touch(connection, logged.returning(log.c.customer_id).cte("logged"))
