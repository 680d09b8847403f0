"""The push channel keeps the contract of channels, and what is particular to it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from envoi.content.kit import Kit
from envoi.errors import ValidationFailedError
from envoi.testing import ChannelContract
from envoi.types import ChannelSpec, CompiledContent, Device, Envelope, Outgoing, Recipient
from envoi_channel_push import register_channels

PHONE = Device(id=7, service="fcm", token="t-7")
ENVELOPE = Envelope(message_domain="envoi.test", return_path_domain="envoi.test")
GREETING = "Hello {{ client.properties.first_name }}"


class TestPushChannel(ChannelContract):
    """Push."""

    @pytest.fixture
    def spec(self) -> ChannelSpec:
        return next(iter(register_channels()))

    @pytest.fixture(params=["text", "image", "both"])
    def content(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        more: dict[str, dict[str, Any]] = {
            "text": {"link": "shop://offers/{{ client.properties.city }}", "data": {"offer": "7"}},
            "image": {"image": "https://shop.test/a.png", "link": "https://shop.test/?a=1&b=2"},
            "both": {"image": "https://shop.test/a.png", "title": "News"},
        }
        return {"text": GREETING, **more[request.param]}

    @pytest.fixture
    def address(self) -> str:
        return ""

    def recipient(self, address: str, first_name: Any = "Anna", key: str = "k1") -> Recipient:
        """A customer with a device; whoever has another address than none has none."""
        made = super().recipient(address, first_name, key)
        return made if address else replace(made, devices=(PHONE,))

    def read(self, outgoing: Outgoing) -> str:
        return str(json.loads(outgoing.payload)["text"])


def compiled(**content: Any) -> CompiledContent:
    spec = next(iter(register_channels()))
    checked = spec.content_schema.model_validate({"text": GREETING, **content})
    return spec.compile(checked, ENVELOPE, Kit())


def message(made: CompiledContent, **properties: Any) -> dict[str, Any]:
    recipient = Recipient(
        address="",
        name="",
        variables={"client": {"properties": properties}},
        message_key="k1",
        unsubscribe_url="",
        one_click_url="",
        open_url="",
        click=lambda number, target: f"https://envoi.test/c/{number}?to={target}",
        devices=(PHONE, Device(id=8, service="apns", token="t-8")),
    )
    outgoing = made.render(recipient)
    assert outgoing.devices == recipient.devices
    found: dict[str, Any] = json.loads(outgoing.payload)
    return found


def test_links_to_pages_are_tracked_and_places_in_the_app_are_not() -> None:
    page = compiled(link="https://shop.test/?a=1&b=2")
    assert page.links == ("https://shop.test/?a=1&b=2",)
    assert message(page)["link"] == "https://envoi.test/c/0?to="
    place = compiled(link="shop://offers/{{ client.properties.city }}?a=1&b=2")
    assert place.links == ()
    assert message(place, city="Omsk")["link"] == "shop://offers/Omsk?a=1&b=2"
    assert message(compiled())["link"] == ""


def test_a_customers_page_is_tracked_with_its_target() -> None:
    made = compiled(link="https://shop.test/{{ client.properties.external_id }}")
    assert message(made, external_id="a&b")["link"] == (
        "https://envoi.test/c/0?to=https://shop.test/a&b"
    )


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", " JavaScript:alert(1)", "data:text/html,x", "no link", "/path"]
)
def test_links_that_open_nothing_are_refused(link: str) -> None:
    with pytest.raises(ValidationError, match="link"):
        compiled(link=link)
    made = compiled(link="{{ client.properties.city }}")
    with pytest.raises(ValidationFailedError) as found:
        message(made, city=link)
    assert [p.field for p in found.value.problems] == ["link"]


@pytest.mark.parametrize("name", ["aps", "from", "google.x", "gcm.y", "envoi_key", "9a", "a b"])
def test_names_that_services_use_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="data"):
        compiled(data={name: "1"})


def test_too_large_messages_are_refused_at_their_longest_field() -> None:
    with pytest.raises(ValidationFailedError) as found:
        compiled(text="я" * 2_000)
    assert [p.field for p in found.value.problems] == ["text"]
    made = compiled(data={"note": "{{ client.properties.city }}"})
    assert message(made, city="Omsk")["data"] == {"note": "Omsk"}
    with pytest.raises(ValidationFailedError) as found:
        message(made, city="x" * 5_000)
    assert [p.field for p in found.value.problems] == ["data"]


def test_pictures_come_over_https() -> None:
    with pytest.raises(ValidationError, match="image"):
        compiled(image="http://shop.test/a.png")
