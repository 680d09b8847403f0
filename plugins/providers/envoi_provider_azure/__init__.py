"""Azure Notification Hubs by direct send, for the push channel."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import ProviderSpec
from envoi_provider_azure.provider import AzureAccount, AzureSettings


@hookimpl
def register_providers() -> Iterable[ProviderSpec]:
    """Bring Azure Notification Hubs, which hands on to the services of Apple and Google."""
    return [
        ProviderSpec(
            name="azure",
            label="Azure Notification Hubs",
            channel="push",
            settings=AzureSettings,
            factory=AzureAccount,
            service="",
            capabilities=frozenset({"batch", "images"}),
            note="Delivery and opens are told by your app, over the API. Written from the public"
            " documentation; not tried against the live service.",
        )
    ]
