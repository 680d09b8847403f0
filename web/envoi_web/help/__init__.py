"""Help: the pages for marketers of `docs/users`, shown inside the product."""

from envoi_web.help.views import help_pages

__all__ = ["help_pages"]
