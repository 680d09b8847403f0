"""The SMS channel; its providers are plugins of their own."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import AddressKind, ChannelSpec
from envoi_channel_sms.content import SmsContent
from envoi_channel_sms.message import compile_sms, length_sms, preview_sms


@hookimpl
def register_channels() -> Iterable[ChannelSpec]:
    """Bring the SMS channel."""
    return [
        ChannelSpec(
            name="sms",
            label="SMS",
            address_kind=AddressKind.PHONE,
            content_schema=SmsContent,
            compile=compile_sms,
            preview=preview_sms,
            length=length_sms,
            short_links=True,
            editor_template="",
            icon="message-2",
            order=20,
        )
    ]
