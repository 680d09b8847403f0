"""The Viber channel keeps the contract of channels, and takes the forms that Viber has."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from envoi.content.kit import Kit
from envoi.errors import ValidationFailedError
from envoi.testing import ChannelContract
from envoi.types import ChannelSpec, Envelope, Outgoing, Recipient
from envoi_channel_viber import register_channels

[VIBER] = register_channels()
ENVELOPE = Envelope(message_domain="envoi.test", return_path_domain="envoi.test")
PHONE = "+4915123456789"
IMAGE = "https://shop.test/a.png"
BUTTON = {"button": "Have a look", "link": "https://shop.test/offer?a=1&b=2"}
GREETING = "Hello {{ client.properties.first_name }}"


class TestViberChannel(ChannelContract):
    """Viber."""

    @pytest.fixture
    def spec(self) -> ChannelSpec:
        return VIBER

    @pytest.fixture(params=["text", "button", "all"])
    def content(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        forms: dict[str, dict[str, Any]] = {
            "text": {},
            "button": BUTTON,
            "all": {**BUTTON, "image": IMAGE, "sender_name": "Fieldmarket"},
        }
        return {"text": GREETING, **forms[request.param]}

    @pytest.fixture
    def address(self) -> str:
        return PHONE

    def read(self, outgoing: Outgoing) -> str:
        return str(json.loads(outgoing.payload)["text"])


def refused(**content: Any) -> list[str]:
    with pytest.raises(ValidationError) as found:
        VIBER.content_schema.model_validate(content)
    return [str(error["msg"]) for error in found.value.errors()]


def made(first_name: str = "Anna", **content: Any) -> dict[str, Any]:
    checked = VIBER.content_schema.model_validate(content)
    recipient = Recipient(
        address=PHONE,
        name=first_name,
        variables={"client": {"properties": {"first_name": first_name}}},
        message_key="k1",
        unsubscribe_url="https://go.shop.test/u/token",
        one_click_url="https://go.shop.test/u/token",
        open_url="https://go.shop.test/o/token",
        click=lambda number, _target: f"https://go.shop.test/c/{number}",
    )
    outgoing = VIBER.compile(checked, ENVELOPE, Kit()).render(recipient)
    payload: dict[str, Any] = json.loads(outgoing.payload)
    return payload


def test_a_picture_alone_is_a_message() -> None:
    found = made(image=IMAGE)
    assert found == {
        "text": "",
        "image": IMAGE,
        "button": "",
        "url": "",
        "category": "promotional",
    }


def test_the_only_link_is_the_button_s_and_tracked() -> None:
    found = made(text=GREETING, image=IMAGE, category="transactional", **BUTTON)
    assert (found["url"], found["button"]) == ("https://go.shop.test/c/0", "Have a look")
    assert (found["text"], found["category"]) == ("Hello Anna", "transactional")
    checked = VIBER.content_schema.model_validate({"text": "x", **BUTTON})
    assert VIBER.compile(checked, ENVELOPE, Kit()).links == (BUTTON["link"],)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"image": IMAGE, **BUTTON}, "A button stands below a text"),
        ({"text": "x", "button": "Look"}, "go together"),
        ({"text": "x", "link": "https://shop.test/"}, "go together"),
        ({"text": "x", "image": IMAGE}, "needs a button"),
        ({"text": "x", "button": "y", "link": "javascript:alert(1)"}, "over https://"),
        ({"text": "x" * 1_001}, "1,001 characters"),
        ({"text": "x", "button": "y" * 31, "link": "https://shop.test/"}, "at most 30"),
        ({"text": "  "}, "The message is empty"),
    ],
)
def test_what_viber_has_no_form_for_is_refused(content: dict[str, Any], reason: str) -> None:
    assert any(reason in sentence for sentence in refused(**content))


def test_values_that_make_it_too_long_fail_this_message_only() -> None:
    with pytest.raises(ValidationFailedError, match="longer than 1,000"):
        made("x" * 1_001, text=GREETING)
    assert made("Boris", text=GREETING)["text"] == "Hello Boris"


def test_a_draft_may_be_half_filled_in() -> None:
    VIBER.content_schema.model_validate({"text": "x", "button": "y"}, context={"draft": True})
