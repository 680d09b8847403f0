"""The factory of the pages' WSGI application, for any server."""

from __future__ import annotations

from multiprocessing.util import Finalize

from flask import Flask

from envoi.app import create_app
from envoi.installation import open_installation
from envoi.operations.reporter import Reporter
from envoi.secrets import with_secret_key
from envoi.settings import load_settings

THREADS = 16


def pages() -> Flask:
    """Make the pages' application from the environment."""
    installation = open_installation(with_secret_key(load_settings()), pool_size=THREADS)
    reporter = Reporter(installation, "web")
    reporter.start()
    # Forked processes end without `atexit`, but not without this.
    Finalize(None, reporter.close, exitpriority=5)
    return create_app(installation)
