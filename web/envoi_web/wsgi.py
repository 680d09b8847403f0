"""Factories of the two WSGI applications, for any server: pages, and tracking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoi.app import create_app
from envoi.installation import open_installation
from envoi.secrets import with_secret_key
from envoi.settings import load_settings
from envoi.tracking.app import create_tracking_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

THREADS = 16


def pages() -> WSGIApplication:
    """Make the pages' application from the environment."""
    return create_app(open_installation(with_secret_key(load_settings()), pool_size=THREADS))


def tracking() -> WSGIApplication:
    """Make the application for links in messages from the environment."""
    return create_tracking_app(
        open_installation(with_secret_key(load_settings()), pool_size=THREADS)
    )
