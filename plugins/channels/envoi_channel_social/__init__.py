"""The channel of social networks: a text that the network has approved."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import AddressKind, ChannelSpec
from envoi_channel_social.content import SocialContent
from envoi_channel_social.message import compile_social, preview_social


@hookimpl
def register_channels() -> Iterable[ChannelSpec]:
    """Bring the channel of social networks."""
    return [
        ChannelSpec(
            name="social",
            label="Social networks",
            address_kind=AddressKind.PHONE,
            content_schema=SocialContent,
            compile=compile_social,
            preview=preview_social,
            editor_template="",
            icon="social",
            order=50,
        )
    ]
