"""Stream Telecom: SMS by its HTTP interface."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import ProviderSpec
from envoi_provider_streamtelecom.provider import StreamTelecomAccount, StreamTelecomSettings


@hookimpl
def register_providers() -> Iterable[ProviderSpec]:
    """Bring Stream Telecom."""
    return [
        ProviderSpec(
            name="streamtelecom",
            label="Stream Telecom",
            channel="sms",
            settings=StreamTelecomSettings,
            factory=StreamTelecomAccount,
            note="Written from the public documentation; not tried against the live service.",
        )
    ]
