"""Devino Telecom: SMS, Viber and social networks."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import ProviderSpec
from envoi_provider_devino.client import DevinoSettings
from envoi_provider_devino.reports import read_report
from envoi_provider_devino.sms import SmsAccount, SmsSettings
from envoi_provider_devino.social import SocialAccount
from envoi_provider_devino.viber import ViberAccount

NOT_TRIED = "Written from the public documentation; not tried against the live service."


@hookimpl
def register_providers() -> Iterable[ProviderSpec]:
    """Bring Devino."""
    return [
        ProviderSpec(
            name="devino_sms",
            label="Devino Telecom, SMS",
            channel="sms",
            settings=SmsSettings,
            factory=SmsAccount,
            capabilities=frozenset({"webhook", "delivery_reports", "batch"}),
            webhook=read_report,
            note=NOT_TRIED,
        ),
        ProviderSpec(
            name="devino_viber",
            label="Devino Telecom, Viber",
            channel="viber",
            settings=DevinoSettings,
            factory=ViberAccount,
            capabilities=frozenset(
                {"webhook", "delivery_reports", "read_reports", "batch", "images", "buttons"}
            ),
            webhook=read_report,
            note=NOT_TRIED,
        ),
        ProviderSpec(
            name="devino_social",
            label="Devino Telecom, social networks",
            channel="social",
            settings=DevinoSettings,
            factory=SocialAccount,
            capabilities=frozenset({"webhook", "delivery_reports", "read_reports", "batch"}),
            webhook=read_report,
            note=NOT_TRIED,
        ),
    ]
