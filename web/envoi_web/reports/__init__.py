"""Reports of mailings, and the customers behind their numbers."""

from envoi_web.reports.views import reports

__all__ = ["reports"]
