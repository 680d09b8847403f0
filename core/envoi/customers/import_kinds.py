"""The kinds of files that can be imported, each one entry of a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection

from envoi.customers import customer_file
from envoi.customers.csv_reader import Columns
from envoi.customers.importing import CustomerImport
from envoi.customers.mapping import Mapping
from envoi.customers.staging import Importer
from envoi.receipts import line_importing, product_importing, receipt_file
from envoi.receipts.importing import ReceiptImport
from envoi.receipts.line_importing import LineImport
from envoi.receipts.product_importing import ProductImport
from envoi.target_audiences import importing as audience_importing
from envoi.target_audiences.importing import AudienceImport


class ImportKind(StrEnum):
    """What a file holds."""

    CUSTOMERS = "customers"
    PRODUCTS = "products"
    RECEIPTS = "receipts"
    RECEIPT_LINES = "receipt_lines"
    AUDIENCE = "audience"


@dataclass(frozen=True)
class Form:
    """One kind of file: its columns, and what imports it."""

    columns: Columns
    importer: Callable[[Connection, int, Mapping], Importer]
    """Makes the importer of a file, from an open transaction, the tenant and the mapping."""
    attributes: bool = False
    """Whether receipts change, so that they are to be attributed anew."""


FORMS: dict[ImportKind, Form] = {
    ImportKind.CUSTOMERS: Form(customer_file.COLUMNS, CustomerImport),
    ImportKind.PRODUCTS: Form(product_importing.COLUMNS, ProductImport),
    ImportKind.RECEIPTS: Form(receipt_file.COLUMNS, ReceiptImport, attributes=True),
    ImportKind.RECEIPT_LINES: Form(line_importing.COLUMNS, LineImport),
    ImportKind.AUDIENCE: Form(audience_importing.COLUMNS, AudienceImport),
}
