"""A person changes one customer: what is typed becomes values, or problems at their fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.orm import Session

from envoi.customers.contacts import Contact, check_email, check_phone
from envoi.customers.csv_reader import LineRefusedError
from envoi.customers.fields import Field, Value, fields_of, read_value
from envoi.customers.models import Customer, CustomerValue, FieldType, Gender, Quality
from envoi.customers.profile import Profile, get_customer
from envoi.customers.token_index import index_tokens
from envoi.customers.tokens import PERSONAL
from envoi.customers.values import read_date
from envoi.db import table
from envoi.errors import ConflictError, Problem, ValidationFailedError
from envoi.tenants.models import TimeZone
from envoi.tenants.service import tenant_settings

NAMES = ("first_name", "middle_name", "last_name", "city")
DATES = ("birth_date", "registered_on")
CONTACTS = ("email", "phone")
_LONGEST_NAME = 200
_NO_DATE = "Enter a date, such as 1990-12-31."
_TYPED_WRONG = {
    FieldType.TEXT: "Shorten the text to at most 1,000 characters.",
    FieldType.NUMBER: "Enter a number, such as 12.5.",
    FieldType.DATE: _NO_DATE,
    FieldType.YES_NO: "Choose yes, no or nothing.",
    FieldType.CHOICE: "Choose one of the values.",
}
_NO_CONTACT = {
    "email": "This is no email address. Enter one such as anna@example.com, or nothing.",
    "phone": "This is no phone number. Enter it with its country code, or nothing.",
}


def field_name(field: Field) -> str:
    """The name that a custom field has in the form."""
    return f"field_{field.id}"


def texts_of(profile: Profile) -> dict[str, str]:
    """Return what the form of a customer holds before anything is typed."""
    customer = profile.customer
    plain = {name: getattr(customer, name) or "" for name in (*NAMES, *DATES, *CONTACTS)}
    fields = {field_name(field): text_of(field, value) for field, value in profile.fields}
    chosen = {"gender": customer.gender, "time_zone": profile.time_zone}
    return {name: str(value) for name, value in {**plain, **chosen, **fields}.items()}


def text_of(field: Field, value: Value | None) -> str:
    """Say a custom field's value as it is typed."""
    if value is None:
        return ""
    if field.type == FieldType.YES_NO:
        return "yes" if value else "no"
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def seen_mark(customer: Customer) -> str:
    """Return what a form carries, so that a change by somebody else is noticed."""
    return customer.updated_at.isoformat()


def update_customer(
    session: Session, tenant_id: int, customer_id: int, *, seen: str, texts: Mapping[str, str]
) -> None:
    """Change a customer's details, contacts and custom fields.

    Args:
        session: An open transaction of the tenant.
        tenant_id: The tenant.
        customer_id: The customer.
        seen: `seen_mark` of the customer as the person saw it.
        texts: What was typed, by the names of `texts_of`; names left out stay as they are.

    Raises:
        ConflictError: The customer has changed since it was seen.
        ValidationFailedError: Something typed is no value; every problem names its field.
    """
    customer = get_customer(session, tenant_id, customer_id)
    session.refresh(customer, with_for_update=True)
    if seen_mark(customer) != seen:
        raise ConflictError("Somebody else has changed this customer since you opened the form.")
    reader = _Reader(session, tenant_id, customer, texts)
    changes = reader.columns()
    values = reader.values()
    if reader.problems:
        raise ValidationFailedError(reader.problems)
    _store(session, tenant_id, customer_id, changes)
    for field, value in values:
        _store_value(session, tenant_id, customer_id, field, value)
    if changes.keys() & set(PERSONAL):
        c = table(Customer).c
        mine = select(c.id).where(c.tenant_id == tenant_id, c.id == customer_id)
        index_tokens(session.connection(), tenant_id, mine)


class _Reader:
    """Reads what was typed and gathers every problem."""

    def __init__(
        self, session: Session, tenant_id: int, customer: Customer, texts: Mapping[str, str]
    ) -> None:
        self.session = session
        self.tenant_id = tenant_id
        self.customer = customer
        self.texts = {name: text.strip() for name, text in texts.items()}
        self.problems: list[Problem] = []

    def columns(self) -> dict[str, Any]:
        """The columns of the customer that change."""
        found: dict[str, Any] = {}
        for name in NAMES:
            self._read(found, name, name, _name)
        for name in DATES:
            self._read(found, name, name, _date)
        self._read(found, "gender", "gender", _gender)
        self._read(found, "time_zone", "zone_id", self._zone)
        for name in CONTACTS:
            self._contact(found, name)
        return {name: new for name, new in found.items() if new != self._old(name)}

    def values(self) -> list[tuple[Field, Value | None]]:
        """The custom fields that were on the form."""
        found: list[tuple[Field, Value | None]] = []
        for field in fields_of(self.session, self.tenant_id):
            name = field_name(field)
            if name in self.texts:
                try:
                    found.append((field, read_value(field, self.texts[name], name)))
                except LineRefusedError:
                    self.problems.append(Problem(name, _TYPED_WRONG[field.type]))
        return found

    def _read(
        self, found: dict[str, Any], name: str, column: str, read: Callable[[str], Any]
    ) -> None:
        if name not in self.texts:
            return
        try:
            found[column] = read(self.texts[name])
        except ValueError as error:
            self.problems.append(Problem(name, str(error)))

    def _contact(self, found: dict[str, Any], name: str) -> None:
        """Take a contact over; one that stays as it was keeps its quality."""
        typed = self.texts.get(name)
        if typed is None or typed == (getattr(self.customer, name) or ""):
            return
        checked = self._checked(name, typed)
        if checked.quality == Quality.FORMAT_ERROR:
            self.problems.append(Problem(name, _NO_CONTACT[name]))
        elif checked.value != getattr(self.customer, name):
            found[name] = checked.value
            found[f"{name}_quality"] = int(checked.quality)

    def _checked(self, name: str, typed: str) -> Contact:
        if name == "email":
            return check_email(typed)
        return check_phone(typed, tenant_settings(self.session, self.tenant_id).default_country)

    def _zone(self, typed: str) -> int | None:
        zone = table(TimeZone).c
        found = self.session.scalar(select(zone.id).where(zone.name == typed))
        if typed and found is None:
            raise ValueError("Choose a time zone from the list.")
        return found

    def _old(self, column: str) -> Any:
        old = getattr(self.customer, column)
        return old.isoformat() if column in DATES and old else old


def _name(typed: str) -> str:
    if len(typed) > _LONGEST_NAME:
        raise ValueError("Shorten this to at most 200 characters.")
    return typed


def _date(typed: str) -> str | None:
    try:
        return read_date(typed, "")
    except LineRefusedError:
        raise ValueError(_NO_DATE) from None


def _gender(typed: str) -> int:
    if typed not in {str(int(gender)) for gender in Gender}:
        raise ValueError("Choose one of the values.")
    return int(typed)


def _store(session: Session, tenant_id: int, customer_id: int, changes: dict[str, Any]) -> None:
    customer = table(Customer)
    mine = (customer.c.tenant_id == tenant_id, customer.c.id == customer_id)
    session.execute(update(customer).where(*mine).values(**changes, updated_at=func.now()))


def _store_value(
    session: Session, tenant_id: int, customer_id: int, field: Field, value: Value | None
) -> None:
    values = table(CustomerValue)
    key = {"tenant_id": tenant_id, "field_id": field.id, "customer_id": customer_id}
    if value is None:
        session.execute(delete(values).where(*(values.c[name] == key[name] for name in key)))
        return
    new = {field.value_column: value}
    row = pg.insert(values).values(**key, **new)
    session.execute(row.on_conflict_do_update(index_elements=list(key), set_=new))
