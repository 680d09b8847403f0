"""The email channel and its SMTP provider."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import AddressKind, ChannelSpec, ProviderSpec
from envoi_channel_email.content import EmailContent
from envoi_channel_email.mime import compile_email, preview_email
from envoi_channel_email.settings import SmtpSettings, dns_records
from envoi_channel_email.smtp import SmtpProvider


@hookimpl
def register_channels() -> Iterable[ChannelSpec]:
    """Bring the email channel."""
    return [
        ChannelSpec(
            name="email",
            label="Email",
            address_kind=AddressKind.EMAIL,
            content_schema=EmailContent,
            compile=compile_email,
            preview=preview_email,
            editor_template="mailings/editors/email.html",
            resends_unconfirmed=True,
            icon="mail",
            order=10,
        )
    ]


@hookimpl
def register_providers() -> Iterable[ProviderSpec]:
    """Bring SMTP."""
    return [
        ProviderSpec(
            name="smtp",
            label="SMTP server",
            channel="email",
            settings=SmtpSettings,
            factory=SmtpProvider,
            capabilities=frozenset({"return_path"}),
            dns_records=dns_records,
            # A server may confirm a message after an hour, if its gateway's settings say so.
            patience_seconds=7200,
        )
    ]
