"""SMPP 3.4: SMS through an operator's own protocol."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import ProviderSpec
from envoi_provider_smpp.provider import SmppProvider
from envoi_provider_smpp.receiver import receive
from envoi_provider_smpp.settings import SmppSettings


@hookimpl
def register_providers() -> Iterable[ProviderSpec]:
    """Bring SMPP."""
    return [
        ProviderSpec(
            name="smpp",
            label="SMPP 3.4",
            channel="sms",
            settings=SmppSettings,
            factory=SmppProvider,
            capabilities=frozenset({"batch", "delivery_reports", "receives", "replies"}),
            receive=receive,
            # As long as the settings let a message centre take for an answer, and then some.
            patience_seconds=900,
        )
    ]
