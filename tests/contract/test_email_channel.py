"""The email channel keeps the contract of channels."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest

from envoi.testing import ChannelContract
from envoi.types import ChannelSpec, Outgoing
from envoi_channel_email import register_channels


class TestEmailChannel(ChannelContract):
    """Email."""

    @pytest.fixture
    def spec(self) -> ChannelSpec:
        return next(iter(register_channels()))

    @pytest.fixture(params=["mjml", "html"])
    def content(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        greeting = "Hello {{ client.properties.first_name }}"
        link = '<a href="https://shop.test/?a=1">Shop</a>'
        mjml = "<mj-section><mj-column><mj-text>{}</mj-text></mj-column></mj-section>"
        bodies = {
            "mjml": f"<mjml><mj-body>{mjml.format(greeting + link)}</mj-body></mjml>",
            "html": f"<html><body>{greeting} {link}</body></html>",
        }
        return {
            "subject": "News for {{ client.properties.first_name }}",
            "preheader": "Three & more",
            "body_format": request.param,
            "body": bodies[request.param],
            "sender_name": "Fieldmarket",
            "sender_address": "news@shop.test",
        }

    @pytest.fixture
    def address(self) -> str:
        return "anna@example.test"

    def read(self, outgoing: Outgoing) -> str:
        message = message_from_bytes(outgoing.payload, policy=default)
        bodies = (message.get_body((kind,)) for kind in ("plain", "html"))
        return "\n".join([message["Subject"], *(b.get_content() for b in bodies if b)])
