"""The Viber channel: a text, a picture, and a button with the message's only link."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import AddressKind, ChannelSpec
from envoi_channel_viber.content import ViberContent
from envoi_channel_viber.message import compile_viber, length_viber, preview_viber


@hookimpl
def register_channels() -> Iterable[ChannelSpec]:
    """Bring the Viber channel."""
    return [
        ChannelSpec(
            name="viber",
            label="Viber",
            address_kind=AddressKind.PHONE,
            content_schema=ViberContent,
            compile=compile_viber,
            preview=preview_viber,
            length=length_viber,
            editor_template="",
            icon="message-circle",
            order=30,
        )
    ]
