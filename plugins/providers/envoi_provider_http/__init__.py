"""SMS through any provider with an HTTP interface, configured without code."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import ProviderSpec
from envoi_provider_http.provider import HttpAccount
from envoi_provider_http.reports import read_report
from envoi_provider_http.settings import HttpSettings


@hookimpl
def register_providers() -> Iterable[ProviderSpec]:
    """Bring the provider that is described in words."""
    return [
        ProviderSpec(
            name="http_sms",
            label="Any HTTP interface",
            channel="sms",
            settings=HttpSettings,
            factory=HttpAccount,
            capabilities=frozenset({"webhook", "delivery_reports", "replies"}),
            webhook=read_report,
            note="What it can do is what its provider can; try it with a few messages first.",
        )
    ]
