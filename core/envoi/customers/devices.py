"""Devices: which apps of a customer take push messages, and which of them are gone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    DateTime,
    and_,
    bindparam,
    cast,
    column,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from envoi.customers.models import CustomerDevice
from envoi.db import table
from envoi.types import Device, Submission

LONGEST_TOKEN = 4_096
MOST_DEVICES = 50
"""A customer has so many devices; of more, those go that were named longest ago."""
_MOMENT = DateTime(timezone=True)


def register(
    session: Session,
    tenant_id: int,
    customer_id: int,
    *,
    service: str,
    token: str,
    app: str = "",
    name: str = "",
) -> int:
    """Note that an app of a customer has this token now, and return the device's number.

    A token belongs to one customer: whoever logs in to the app takes it along.
    """
    values = {"customer_id": customer_id, "app": app, "name": name}
    new = insert(table(CustomerDevice)).values(
        tenant_id=tenant_id, service=service, token=token, **values
    )
    known = new.on_conflict_do_update(
        index_elements=["tenant_id", "service", "token"],
        set_={**values, "seen_at": func.now(), "gone_at": None},
    )
    number = int(session.scalars(known.returning(table(CustomerDevice).c.id)).one())
    _drop_surplus(session, tenant_id, customer_id)
    return number


def _drop_surplus(session: Session, tenant_id: int, customer_id: int) -> None:
    """Every device is a message of its own, so that one customer cannot have any number."""
    device = table(CustomerDevice)
    c = device.c
    theirs = (living(tenant_id), c.customer_id == customer_id)
    surplus = select(c.id).where(*theirs).order_by(c.seen_at.desc(), c.id.desc())
    old = c.id.in_(surplus.offset(MOST_DEVICES))
    session.execute(device.update().where(*theirs, old).values(gone_at=func.now()))


def sign_off(
    session: Session, tenant_id: int, customer_id: int, *, service: str, token: str
) -> bool:
    """Forget a device because its app says so; false when the customer has no such one."""
    device = table(CustomerDevice)
    c = device.c
    theirs = (c.tenant_id == tenant_id, c.customer_id == customer_id)
    gone = device.delete().where(*theirs, c.service == service, c.token == token)
    return bool(session.connection().execute(gone).rowcount)


def drop(connection: Connection, tenant_id: int, submissions: Sequence[Submission]) -> None:
    """Send no more to devices of which a service said that it knows them no more.

    A device that was registered again after the moment that the service names stays.
    """
    gone = sorted({s.number: s.gone_since for s in submissions if s.address_gone}.items())
    if not gone:
        return
    numbers, moments = [number for number, _ in gone], [since for _, since in gone]
    told = func.unnest(
        cast(literal(numbers, ARRAY(BigInteger)), ARRAY(BigInteger)),
        cast(literal(moments, ARRAY(_MOMENT)), ARRAY(_MOMENT)),
    ).table_valued(column("id", BigInteger), column("since", _MOMENT))
    told = told.render_derived()
    device = table(CustomerDevice)
    is_newer = or_(told.c.since.is_(None), device.c.seen_at <= told.c.since)
    named = (device.c.tenant_id == tenant_id, device.c.id == told.c.id)
    connection.execute(device.update().where(*named, _lives(), is_newer).values(gone_at=func.now()))


def living(tenant_id: int) -> ColumnElement[bool]:
    """The condition on `device` that means a tenant's devices that take messages."""
    return and_(table(CustomerDevice).c.tenant_id == tenant_id, _lives())


def _lives() -> ColumnElement[bool]:
    return table(CustomerDevice).c.gone_at.is_(None)


class DeviceQuery:
    """The statement for the devices of a block's customers, made once."""

    def __init__(self, tenant_id: int) -> None:
        c = table(CustomerDevice).c
        only = bindparam("customer_ids", type_=ARRAY(BigInteger))
        query = select(c.customer_id, c.id, c.service, c.token)
        self._query = query.where(living(tenant_id), c.customer_id == func.any(only))

    def fetch(
        self, connection: Connection, customer_ids: Sequence[int]
    ) -> dict[int, tuple[Device, ...]]:
        """Return the living devices by customer, in the order in which they were registered."""
        found: dict[int, list[Device]] = defaultdict(list)
        rows = connection.execute(self._query, {"customer_ids": list(customer_ids)})
        for row in sorted(rows, key=lambda row: row.id):
            found[row.customer_id].append(Device(id=row.id, service=row.service, token=row.token))
        return {customer_id: tuple(devices) for customer_id, devices in found.items()}


def devices_of(session: Session, tenant_id: int, customer_id: int) -> Sequence[CustomerDevice]:
    """List a customer's devices, those that are gone last."""
    c = table(CustomerDevice).c
    mine = select(CustomerDevice).where(c.tenant_id == tenant_id, c.customer_id == customer_id)
    return session.scalars(mine.order_by(c.gone_at.is_not(None), c.seen_at.desc(), c.id)).all()


def addressed(
    session: Session, tenant_id: int, wanted: Sequence[str], services: Collection[str]
) -> tuple[list[str], list[str]]:
    """Sort what a person typed into devices, as `service:token`, and what names none.

    A token that an app has registered needs no service before it.
    """
    found: list[str] = []
    strange: list[str] = []
    c = table(CustomerDevice).c
    known = select(c.token, c.service).where(living(tenant_id), c.token.in_(wanted))
    registered = {row.token: row.service for row in session.execute(known)}
    for address in wanted:
        if address in registered:
            found.append(f"{registered[address]}:{address}")
        elif address.partition(":")[0] in services and address.partition(":")[2]:
            found.append(address)
        else:
            strange.append(address)
    return list(dict.fromkeys(found)), strange


def device_at(address: str) -> Device:
    """The device that `service:token` means, outside of everybody's devices."""
    service, _, token = address.partition(":")
    return Device(id=0, service=service, token=token)
