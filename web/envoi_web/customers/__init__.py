"""Customers: the list, a profile, and the import of files."""

from envoi_web.customers.imports import imports
from envoi_web.customers.views import customers

__all__ = ["customers", "imports"]
