"""What several modules try: a scripted cascade, and messages that a provider may report on."""

from __future__ import annotations

from pathlib import Path

import pytest

from chains import Chain, chain_plugins
from envoi.db import Database
from envoi.installation import Installation
from envoi.plugins import load_plugins
from envoi.tracking.tokens import TokenSigner, signer_of
from factories.delivery import an_installation
from factories.reports import Handed, Teller, handed_over, teller_gateway


@pytest.fixture
def chain() -> Chain:
    """Accounts of a chain of channels that answer by a script."""
    return Chain()


@pytest.fixture
def site(database: Database, chain: Chain, tmp_path: Path) -> Installation:
    """An installation whose providers are those of the chain."""
    return an_installation(database, chain_plugins(chain), tmp_path)


@pytest.fixture
def installation(database: Database, tmp_path: Path) -> Installation:
    """An installation whose provider tells later what became of messages."""
    return an_installation(database, load_plugins([("teller", Teller())]), tmp_path)


@pytest.fixture
def signer(installation: Installation) -> TokenSigner:
    """What signs tokens there."""
    return signer_of(installation.settings)


@pytest.fixture
def handed(installation: Installation, tenant_id: int) -> Handed:
    """Three messages that the provider has taken."""
    gateway_id = teller_gateway(installation, tenant_id)
    return handed_over(installation.database, tenant_id, gateway_id, 3)
