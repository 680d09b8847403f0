"""The factory of the pages' WSGI application, for any server."""

from __future__ import annotations

from flask import Flask

from envoi.app import create_app
from envoi.installation import open_installation
from envoi.secrets import with_secret_key
from envoi.settings import load_settings

THREADS = 16


def pages() -> Flask:
    """Make the pages' application from the environment."""
    return create_app(open_installation(with_secret_key(load_settings()), pool_size=THREADS))
