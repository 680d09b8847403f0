"""The demo's pages, which are there only where the demo is."""

from __future__ import annotations

from envoi.errors import NotFoundError
from envoi.settings import Settings
from envoi.webkit import Blueprint, current

demo = Blueprint("demo", __name__, url_prefix="/demo")


def demo_settings() -> Settings:
    """Return the settings, where there is a demo."""
    if not current.settings.demo:
        raise NotFoundError("This installation has no demo.")
    return current.settings
