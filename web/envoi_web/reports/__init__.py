"""Reports of mailings, and the customers behind their numbers."""

from envoi_web.reports import behind, compare, heat, unconfirmed, views
from envoi_web.reports.blueprint import reports

__all__ = ["behind", "compare", "heat", "reports", "unconfirmed", "views"]
