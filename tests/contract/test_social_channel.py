"""The channel of social networks keeps the contract of channels: an approved text, personal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from envoi.content.kit import Kit
from envoi.errors import ValidationFailedError
from envoi.testing import ChannelContract
from envoi.types import ChannelSpec, Envelope, Outgoing
from envoi_channel_social import register_channels

[SOCIAL] = register_channels()
ENVELOPE = Envelope(message_domain="envoi.test", return_path_domain="envoi.test")


class TestSocialChannel(ChannelContract):
    """Social networks."""

    @pytest.fixture
    def spec(self) -> ChannelSpec:
        return SOCIAL

    @pytest.fixture(params=["", "points-7"])
    def content(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        greeting = "Hello {{ client.properties.first_name }}, look: https://shop.test/"
        return {"text": greeting, "template": request.param}

    @pytest.fixture
    def address(self) -> str:
        return "+4915123456789"

    def read(self, outgoing: Outgoing) -> str:
        return str(json.loads(outgoing.payload)["text"])

    def test_the_payload_is_text_and_template_and_no_address_is_changed(
        self, spec: ChannelSpec, content: dict[str, Any], address: str
    ) -> None:
        compiled = spec.compile(spec.content_schema.model_validate(content), ENVELOPE, Kit())
        made = json.loads(compiled.render(self.recipient(address, "\r\nAnna\0")).payload)
        text = "Hello \nAnna, look: https://shop.test/"
        assert made == {"text": text, "template": content["template"]}
        assert compiled.links == ()

    def test_a_text_that_values_leave_empty_fails_this_message_only(
        self, spec: ChannelSpec, address: str
    ) -> None:
        words = spec.content_schema.model_validate({"text": "{{ client.properties.first_name }}"})
        compiled = spec.compile(words, ENVELOPE, Kit())
        with pytest.raises(ValidationFailedError, match="empty for this customer"):
            compiled.render(self.recipient(address, ""))
        assert compiled.render(self.recipient(address, "Anna")).payload


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"text": " "}, "The message is empty"),
        ({"text": "x", "template": "a\nb"}, "Line breaks"),
        ({"text": "x", "template": "a" * 101}, "at most 100"),
    ],
)
def test_what_cannot_be_sent_is_refused(content: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        SOCIAL.content_schema.model_validate(content)


def test_a_draft_may_be_empty_and_a_broken_template_names_its_field() -> None:
    SOCIAL.content_schema.model_validate({}, context={"draft": True})
    broken = SOCIAL.content_schema.model_validate({"text": "{{ client."})
    with pytest.raises(ValidationFailedError) as caught:
        SOCIAL.compile(broken, ENVELOPE, Kit())
    assert [problem.field for problem in caught.value.problems] == ["text"]
