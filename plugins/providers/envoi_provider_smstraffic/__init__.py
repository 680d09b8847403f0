"""SmsTraffic: SMS, Viber and social networks."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import ProviderSpec
from envoi_provider_smstraffic.provider import SmsTrafficAccount, SmsTrafficSettings
from envoi_provider_smstraffic.reports import read_report, read_smart_report
from envoi_provider_smstraffic.smart import (
    SocialSettings,
    ViberSettings,
    social_account,
    takes_over,
    viber_account,
)

NOT_TRIED = "Written from the public documentation; not tried against the live service."
SMART = "Written after the service's public clients; not tried against the live service."


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
            note=NOT_TRIED,
        ),
        ProviderSpec(
            name="smstraffic_viber",
            label="SmsTraffic, Viber",
            channel="viber",
            settings=ViberSettings,
            factory=viber_account,
            capabilities=frozenset(
                {"webhook", "delivery_reports", "read_reports", "images", "buttons"}
            ),
            webhook=read_smart_report,
            takes_over=takes_over,
            note=SMART,
        ),
        ProviderSpec(
            name="smstraffic_social",
            label="SmsTraffic, social networks",
            channel="social",
            settings=SocialSettings,
            factory=social_account,
            capabilities=frozenset({"webhook", "delivery_reports", "read_reports"}),
            webhook=read_smart_report,
            takes_over=takes_over,
            note=SMART,
        ),
    ]
