"""Customers: the list, a profile with its form, and the import of files."""

from envoi_web.customers import (  # noqa: F401 (they add their routes)
    bounces,
    edit,
    profile,
    views,
)
from envoi_web.customers.blueprint import customers
from envoi_web.customers.imports import imports

__all__ = ["customers", "imports"]
