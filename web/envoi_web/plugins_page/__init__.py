"""The plugins of a company: what is installed, what is on, what was left out and why."""

from envoi_web.plugins_page.views import plugins_page

__all__ = ["plugins_page"]
