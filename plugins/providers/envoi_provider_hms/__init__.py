"""Huawei Push Kit by its REST API v1, for the push channel."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import ProviderSpec
from envoi_provider_hms.provider import HmsAccount, HmsSettings


@hookimpl
def register_providers() -> Iterable[ProviderSpec]:
    """Bring HMS."""
    return [
        ProviderSpec(
            name="hms",
            label="Huawei Push Kit",
            channel="push",
            settings=HmsSettings,
            factory=HmsAccount,
            service="hms",
            capabilities=frozenset({"batch", "images"}),
            note="Delivery and opens are told by your app, over the API. Written from the public"
            " documentation; not tried against the live service.",
        )
    ]
