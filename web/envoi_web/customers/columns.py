"""The columns of the list of customers: which there are, and which an employee chose."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date

from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.accounts.list_columns import chosen_columns
from envoi.customers.fields import Field, Value
from envoi.customers.models import FieldType
from envoi.webkit import current
from envoi.webkit.formats import day, number

PLACE = "customers"
"""The name of the list in an employee's preferences."""
USUAL = ("email", "phone", "city", "registered_on", "receipts", "amount")
"""What is shown before an employee chooses."""
OF_PURCHASES = frozenset({"receipts", "amount", "last_purchase"})
_NUMBERS = frozenset({"age", "receipts", "amount"})
_SORTED = frozenset({"registered_on", "updated_at"})


def offered_columns(fields: Sequence[Field]) -> dict[str, str]:
    """Name every column that can be chosen, in the order of the list."""
    return {
        "email": _("Email"),
        "phone": _("Phone"),
        "city": _("City"),
        "gender": _("Gender"),
        "age": _("Age"),
        "registered_on": _("Registered on"),
        "updated_at": _("Last changed"),
        "receipts": _("Receipts"),
        "amount": _("Amount, %(currency)s", currency=current.company.currency),
        "last_purchase": _("Last purchase"),
        **{column_of(field): field.label for field in fields},
    }


def column_of(field: Field) -> str:
    """The name of a custom field's column."""
    return f"field_{field.id}"


def shown_columns(session: Session, offered: Collection[str]) -> list[str]:
    """The columns that the employee chose, in the order in which they are offered."""
    chosen = chosen_columns(session, current.tenant_id, current.account_id, PLACE)
    return [name for name in offered if name in (USUAL if chosen is None else chosen)]


def headings(
    shown: Sequence[str], offered: Mapping[str, str], fields: Sequence[Field]
) -> list[dict[str, object]]:
    """The headings of the table, the customer's own first."""
    numeric = _NUMBERS | {column_of(field) for field in fields if field.type == FieldType.NUMBER}
    own: dict[str, object] = {"label": _("Customer"), "key": "external_id"}
    return [own] + [
        {
            "label": offered[name],
            "num": name in numeric,
            **({"key": name} if name in _SORTED else {}),
        }
        for name in shown
    ]


def age_of(birth_date: date | None, today: date) -> int | None:
    """How old somebody is."""
    if birth_date is None:
        return None
    had = (today.month, today.day) >= (birth_date.month, birth_date.day)
    return today.year - birth_date.year - (not had)


def value_words(field: Field, value: Value | None) -> str:
    """Say the value of a custom field."""
    if value is None or value == "":
        return "–"
    if field.type == FieldType.YES_NO:
        return str(_("Yes") if value else _("No"))
    if isinstance(value, date):
        return day(value)
    return number(value) if isinstance(value, float) else str(value)
