"""Firebase Cloud Messaging by its HTTP v1 API, for the push channel."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import ProviderSpec
from envoi_provider_fcm.provider import FcmAccount, FcmSettings


@hookimpl
def register_providers() -> Iterable[ProviderSpec]:
    """Bring FCM."""
    return [
        ProviderSpec(
            name="fcm",
            label="Firebase Cloud Messaging",
            channel="push",
            settings=FcmSettings,
            factory=FcmAccount,
            service="fcm",
            capabilities=frozenset({"batch", "images"}),
            note="Delivery and opens are told by your app, over the API. Written from the public"
            " documentation; not tried against the live service.",
        )
    ]
