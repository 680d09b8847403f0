"""The words of imports: kinds of files, what a column may be, and samples."""

from __future__ import annotations

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from envoi.customers.customer_file import FIELD_PREFIX
from envoi.customers.fields import Field
from envoi.customers.import_kinds import FORMS, ImportKind

KINDS = {
    ImportKind.CUSTOMERS: (_l("Customers"), _l("one row a customer, found by external id")),
    ImportKind.PRODUCTS: (_l("Products"), _l("names, categories and prices, found by product id")),
    ImportKind.RECEIPTS: (_l("Receipts"), _l("one row a product, or one row a receipt")),
    ImportKind.RECEIPT_LINES: (
        _l("Receipt lines"),
        _l("products of receipts that are there already"),
    ),
}
"""The kinds of files that are imported on this page, each with what it holds."""

TARGETS = {
    "external_id": _l("External id"),
    "first_name": _l("First name"),
    "middle_name": _l("Middle name"),
    "last_name": _l("Last name"),
    "gender": _l("Gender"),
    "birth_date": _l("Birth date"),
    "registered_on": _l("Registered on"),
    "city": _l("City"),
    "time_zone": _l("Time zone"),
    "email": _l("Email"),
    "phone": _l("Phone"),
    "subscribed_email": _l("Gets email (Y or N)"),
    "subscribed_sms": _l("Gets SMS (Y or N)"),
    "subscribed_push": _l("Gets push (Y or N)"),
    "receipt_id": _l("Receipt id"),
    "customer_id": _l("External id of the customer"),
    "at": _l("Date and time"),
    "amount": _l("Amount"),
    "product_id": _l("Product id"),
    "product_name": _l("Product name"),
    "category": _l("Category"),
    "price": _l("Price"),
    "url": _l("Web address"),
    "image_url": _l("Address of the picture"),
    "quantity": _l("Quantity"),
    "number": _l("Line number"),
    "cancelled": _l("Cancelled (Y or N)"),
}

SAMPLES = {
    ImportKind.CUSTOMERS: {
        "external_id": "C-204118",
        "first_name": "Anna",
        "last_name": "Keller",
        "gender": "F",
        "birth_date": "1990-12-31",
        "registered_on": "2024-03-01",
        "city": "Berlin",
        "time_zone": "Europe/Berlin",
        "email": "anna.keller@example.com",
        "phone": "0151 12345678",
        "subscribed_email": "Y",
        "subscribed_sms": "N",
    },
    ImportKind.PRODUCTS: {
        "product_id": "P-1",
        "product_name": "Rye bread",
        "category": "Bread",
        "price": "2.05",
        "url": "https://example.com/rye-bread",
        "image_url": "https://example.com/rye-bread.jpg",
    },
    ImportKind.RECEIPTS: {
        "receipt_id": "R-1",
        "customer_id": "C-204118",
        "at": "2026-11-24T10:00:00",
        "amount": "4.10",
        "product_id": "P-1",
        "product_name": "Rye bread",
        "category": "Bread",
        "quantity": "2",
        "cancelled": "N",
    },
    ImportKind.RECEIPT_LINES: {
        "receipt_id": "R-1",
        "number": "1",
        "product_id": "P-1",
        "product_name": "Rye bread",
        "category": "Bread",
        "quantity": "2",
        "amount": "4.10",
    },
}


def kind_label(kind: ImportKind) -> str:
    """What a file of a kind holds, in one word."""
    return str(KINDS[kind][0]) if kind in KINDS else _(kind.value)


def targets_of(kind: ImportKind, fields: list[Field]) -> list[tuple[str, str]]:
    """What a column may be, each with its words; custom fields after the rest."""
    columns = FORMS[kind].columns
    names = [*columns.required, *columns.optional]
    known = [(name, str(TARGETS.get(name, name))) for name in names]
    if columns.free_prefix == FIELD_PREFIX:
        known += [(FIELD_PREFIX + field.code, field.label) for field in fields]
    return known
