"""The tracking application as readers of messages meet it: a client, and the keys of its links."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from werkzeug.test import Client

from envoi.db import Database
from envoi.plugins import Plugins
from envoi.tracking.app import TrackingApp
from envoi.tracking.tokens import TokenSigner


@pytest.fixture
def signer() -> TokenSigner:
    return TokenSigner(["a secret of the tests"])


@pytest.fixture
def client(database: Database, signer: TokenSigner, plugins: Plugins) -> Iterator[Client]:
    app = TrackingApp(database, signer, plugins)
    yield Client(app)
    app.close()
