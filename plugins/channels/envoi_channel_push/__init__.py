"""The push channel: a title, a text, a picture, a link and data for the app."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import AddressKind, ChannelSpec
from envoi_channel_push.content import PushContent
from envoi_channel_push.message import compile_push, preview_push


@hookimpl
def register_channels() -> Iterable[ChannelSpec]:
    """Bring the push channel."""
    return [
        ChannelSpec(
            name="push",
            label="Push",
            address_kind=AddressKind.PUSH,
            content_schema=PushContent,
            compile=compile_push,
            preview=preview_push,
            editor_template="",
            icon="device-mobile-message",
            order=40,
            # A message that arrives again takes the place of the first one on the phone.
            resends_unconfirmed=True,
        )
    ]
