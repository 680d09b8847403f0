"""RuStore push notifications by their HTTP API, for the push channel."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import ProviderSpec
from envoi_provider_rustore.provider import RuStoreAccount, RuStoreSettings


@hookimpl
def register_providers() -> Iterable[ProviderSpec]:
    """Bring RuStore."""
    return [
        ProviderSpec(
            name="rustore",
            label="RuStore",
            channel="push",
            settings=RuStoreSettings,
            factory=RuStoreAccount,
            service="rustore",
            capabilities=frozenset({"batch", "images"}),
            note="Delivery and opens are told by your app, over the API. Written from the public"
            " documentation; not tried against the live service.",
        )
    ]
