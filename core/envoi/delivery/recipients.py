"""The customers of a block as templates see them: one query for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Select,
    bindparam,
    cast,
    func,
    literal,
    null,
    select,
)
from sqlalchemy.orm import Session

from envoi.customers.devices import DeviceQuery
from envoi.customers.models import Customer, CustomerValue, CustomField, Gender
from envoi.db import table
from envoi.errors import NotFoundError
from envoi.receipts.models import Receipt
from envoi.types import AddressKind, Device

PROPERTIES = (
    *("full_name", "first_name", "middle_name", "last_name", "gender", "birth_date"),
    *("register_date", "city", "email", "phone", "external_id", "order_cnt", "order_sum"),
)
"""What `client.properties` holds; custom attributes are below `client.fields` by their code."""

_GENDERS = {Gender.FEMALE: "female", Gender.MALE: "male"}


@dataclass(frozen=True, slots=True)
class Person:
    """A customer to send to: address, name, and the template's whole world.

    `further` are the steps that may follow where the provider goes on to them by itself.
    """

    customer_id: int
    address: str | None
    name: str
    variables: Mapping[str, Any]
    devices: tuple[Device, ...] = ()
    further: tuple[int, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """Which of the costlier variables a content uses."""

    fields: bool = True
    receipts: bool = True

    @classmethod
    def by(cls, *texts: str) -> Wanted:
        """Look for the names; a name that is only text costs a little time, nothing else."""
        return cls(
            fields=any("fields" in text for text in texts),
            receipts=any("order_" in text for text in texts),
        )


class PeopleQuery:
    """The statement for a tenant's customers, made once and run for every block."""

    def __init__(self, tenant_id: int, kind: AddressKind, wanted: Wanted) -> None:
        self._kind = kind
        self._query = _query(tenant_id, wanted)
        self._devices = DeviceQuery(tenant_id) if kind is AddressKind.PUSH else None

    def fetch(self, connection: Connection, customer_ids: Sequence[int]) -> dict[int, Person]:
        """Return the customers that exist, by number."""
        found = connection.execute(self._query, {"customer_ids": list(customer_ids)})
        people = {row.id: _person(row, self._kind) for row in found}
        if self._devices is None:
            return people
        devices = self._devices.fetch(connection, customer_ids)
        return {n: replace(person, devices=devices.get(n, ())) for n, person in people.items()}


def sample_person(
    session: Session, tenant_id: int, customer_id: int, kind: AddressKind = AddressKind.EMAIL
) -> Person:
    """Return one customer with every variable, for previews."""
    query = PeopleQuery(tenant_id, kind, Wanted())
    found = query.fetch(session.connection(), [customer_id]).get(customer_id)
    if found is None:
        raise NotFoundError(f"There is no customer number {customer_id}.")
    return found


def known_variables(session: Session, tenant_id: int) -> list[str]:
    """List the dotted paths that are filled in for this tenant."""
    c = table(CustomField).c
    codes = session.scalars(select(c.code).where(c.tenant_id == tenant_id).order_by(c.position))
    properties = (f"client.properties.{name}" for name in PROPERTIES)
    return [*properties, *(f"client.fields.{code}" for code in codes)]


def _query(tenant_id: int, wanted: Wanted) -> Select[Any]:
    c = table(Customer).c
    only = bindparam("customer_ids", type_=ARRAY(BigInteger))
    columns: list[ColumnElement[Any]] = [
        *(c.id, c.external_id, c.first_name, c.middle_name, c.last_name, c.gender),
        *(c.birth_date, c.registered_on, c.city, c.email, c.phone),
        (_values(tenant_id) if wanted.fields else null()).label("fields"),
    ]
    query = select(*columns).where(c.tenant_id == tenant_id, c.id == func.any(only))
    if not wanted.receipts:
        return query.add_columns(literal(0).label("order_cnt"), literal(0).label("order_sum"))
    receipt = table(Receipt).c
    totals = (
        select(func.count().label("count"), func.coalesce(func.sum(receipt.amount), 0).label("sum"))
        .where(receipt.tenant_id == tenant_id, receipt.customer_id == c.id, ~receipt.cancelled)
        .lateral("totals")
    )
    query = query.join_from(table(Customer), totals, literal(True))
    return query.add_columns(
        totals.c.count.label("order_cnt"), cast(totals.c.sum, BigInteger).label("order_sum")
    )


def _values(tenant_id: int) -> Any:
    value, field, c = table(CustomerValue).c, table(CustomField).c, table(Customer).c
    shown = func.coalesce(
        func.to_jsonb(value.text_value),
        func.to_jsonb(value.number_value),
        func.to_jsonb(value.date_value),
    )
    return (
        select(func.jsonb_object_agg(field.code, shown))
        .where(value.tenant_id == tenant_id, value.customer_id == c.id)
        .where(field.tenant_id == tenant_id, field.id == value.field_id)
        .correlate(table(Customer))
        .scalar_subquery()
    )


def _person(row: Row[Any], kind: AddressKind) -> Person:
    names = (row.first_name, row.middle_name, row.last_name)
    properties = {
        "full_name": " ".join(filter(None, names)),
        "first_name": row.first_name,
        "middle_name": row.middle_name,
        "last_name": row.last_name,
        "gender": _GENDERS.get(row.gender, ""),
        "birth_date": row.birth_date,
        "register_date": row.registered_on,
        "city": row.city,
        "email": row.email or "",
        "phone": row.phone or "",
        "external_id": row.external_id,
        "order_cnt": row.order_cnt,
        "order_sum": row.order_sum / 100,
    }
    return Person(
        customer_id=row.id,
        address={AddressKind.EMAIL: row.email, AddressKind.PHONE: row.phone}.get(kind),
        name=" ".join(filter(None, (row.first_name, row.last_name))),
        variables={"client": {"properties": properties, "fields": row.fields or {}}},
    )
