"""SmsTraffic: SMS by its HTTP interface."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import ProviderSpec
from envoi_provider_smstraffic.provider import SmsTrafficAccount, SmsTrafficSettings
from envoi_provider_smstraffic.reports import read_report


@hookimpl
def register_providers() -> Iterable[ProviderSpec]:
    """Bring SmsTraffic."""
    return [
        ProviderSpec(
            name="smstraffic",
            label="SmsTraffic",
            channel="sms",
            settings=SmsTrafficSettings,
            factory=SmsTrafficAccount,
            capabilities=frozenset({"webhook", "delivery_reports"}),
            webhook=read_report,
            note="Written from the public documentation; not tried against the live service.",
        )
    ]
