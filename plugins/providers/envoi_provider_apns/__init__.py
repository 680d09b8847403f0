"""Apple Push Notification service, for the push channel."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import ProviderSpec
from envoi_provider_apns.provider import ApnsAccount, ApnsSettings


@hookimpl
def register_providers() -> Iterable[ProviderSpec]:
    """Bring APNs."""
    return [
        ProviderSpec(
            name="apns",
            label="Apple Push Notification service",
            channel="push",
            settings=ApnsSettings,
            factory=ApnsAccount,
            service="apns",
            capabilities=frozenset({"batch", "images"}),
            note="Delivery and opens are told by your app, over the API. Written from the public"
            " documentation; not tried against the live service.",
        )
    ]
