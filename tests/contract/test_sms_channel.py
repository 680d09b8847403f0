"""The SMS channel keeps the contract of channels, and counts what it sends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from envoi import gsm
from envoi.content.kit import Kit
from envoi.errors import ValidationFailedError
from envoi.testing import ChannelContract
from envoi.tracking.tokens import MessageRef, TokenKind, TokenSigner
from envoi.tracking.urls import UrlMaker, example_urls
from envoi.types import ChannelSpec, CompiledContent, Envelope, Recipient
from envoi_channel_sms import register_channels

[SMS] = register_channels()
ENVELOPE = Envelope(message_domain="envoi.test", return_path_domain="envoi.test")
REF = MessageRef(tenant_id=1, run_id=2, customer_id=3, launched_on=date(2026, 11, 22))
URLS = UrlMaker("https://go.shop.test", TokenSigner(["k" * 40]), short=SMS.short_links).message(REF)
EXAMPLES = example_urls("https://go.shop.test", REF.tenant_id, REF.customer_id, short=True)
PHONE = "+4915123456789"


class TestSmsChannel(ChannelContract):
    """SMS."""

    @pytest.fixture
    def spec(self) -> ChannelSpec:
        return SMS

    @pytest.fixture(params=[True, False], ids=["tracked", "untracked"])
    def content(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        return {
            "sender_name": "Fieldmarket",
            "text": "Hello {{ client.properties.first_name }}, see https://shop.test/?a=1.",
            "transliterate": request.param,
            "track_links": request.param,
        }

    @pytest.fixture
    def address(self) -> str:
        return PHONE


def compiled(text: str, **fields: Any) -> CompiledContent:
    content = SMS.content_schema.model_validate({"text": text, **fields})
    return SMS.compile(content, ENVELOPE, Kit())


def reader(name: str = "Anna", address: str = PHONE) -> Recipient:
    return Recipient(
        address=address,
        name=name,
        variables=variables(name),
        message_key="k1",
        unsubscribe_url=URLS.of(TokenKind.UNSUBSCRIBE),
        one_click_url="",
        open_url="",
        click=URLS.click,
    )


def variables(name: str) -> Mapping[str, Any]:
    return {"client": {"properties": {"first_name": name}}}


def said(content: CompiledContent, name: str = "Anna") -> str:
    return content.render(reader(name)).payload.decode()


texts = st.lists(
    st.sampled_from(
        [
            *(
                "Hello ",
                "Привет ",
                "🎁",
                "€ ",
                "{{ client.properties.first_name }} ",
                "\r\n",
                "«x»",
            ),
            *("https://shop.test/a ", "http://shop.test/?c={{ client.properties.first_name }} "),
            *("{{ unsubscribe_url }} ", "x" * 60, "ж" * 30),
        ]
    ),
    max_size=12,
).map("".join)


@settings(max_examples=400, deadline=None)
@given(texts, st.text(max_size=30), st.booleans(), st.booleans())
def test_the_counter_counts_what_is_sent(
    text: str, name: str, transliterate: bool, track_links: bool
) -> None:
    fields = {"text": text, "transliterate": transliterate, "track_links": track_links}
    content = SMS.content_schema.model_validate(fields, context={"draft": True})
    assert SMS.length is not None
    person = {**variables(name), "unsubscribe_url": EXAMPLES.of(TokenKind.UNSUBSCRIBE)}
    counted = SMS.length(content, Kit(), person, EXAMPLES.click)
    try:
        made = SMS.compile(content, ENVELOPE, Kit()).render(reader(name))
    except ValidationFailedError:
        assert counted.parts > counted.most_parts or counted.characters == 0
        return
    found = gsm.measure(made.payload.decode())
    assert (counted.parts, counted.characters) == (made.parts, found.characters)
    assert (counted.left, counted.alphabet) == (found.left, found.alphabet)


def test_a_tracked_link_is_as_long_as_is_said() -> None:
    content = compiled("https://shop.test/sale", track_links=True)
    assert content.links == ("https://shop.test/sale",)
    assert len(said(content)) == len("https://go.shop.test") + 23 == 43


def test_links_are_found_where_they_end() -> None:
    content = compiled(
        "See (https://a.test/x?y=1&z=2), «https://b.test» or HTTP://c.test/{{ a.b }}/d.",
        track_links=True,
    )
    assert content.links == (
        "https://a.test/x?y=1&z=2",
        "https://b.test",
        "HTTP://c.test/{{ a.b }}/d",
    )
    assert said(content).startswith("See (https://go.shop.test/s/")
    assert said(content).endswith("?to=HTTP%3A%2F%2Fc.test%2F%2Fd.")


def test_parameters_are_added_to_tracked_links_only() -> None:
    utm = {"utm_source": "sms", "utm_campaign": "a b"}
    tracked = compiled("https://a.test/?utm_source=own#top", track_links=True, utm=utm)
    assert tracked.links == ("https://a.test/?utm_source=own&utm_campaign=a%20b#top",)
    assert said(compiled("https://a.test/", utm=utm)) == "https://a.test/"


def test_what_no_phone_shows_is_left_out() -> None:
    assert said(compiled("a\0\u2028b\r\nc\td ")) == "a\nb\nc d"
    greeting = compiled("Hello {{ client.properties.first_name }}")
    assert said(greeting, "\ud83c\x85") == "Hello ?"


def test_spelled_in_latin_letters() -> None:
    content = compiled("Привет, {{ client.properties.first_name }}", transliterate=True)
    made = content.render(reader("Жанна" * 20))
    assert made.payload.decode() == "Privet, " + "Zhanna" * 20
    assert made.parts == 1


def test_a_text_of_too_many_parts_is_refused_at_its_field() -> None:
    with pytest.raises(ValidationFailedError, match="11 parts") as refused:
        compiled("ж" * (67 * 10 + 1))
    assert refused.value.problems[0].field == "text"
    assert compiled("ж" * 670).render(reader()).parts == 10


def test_an_empty_message_is_refused() -> None:
    with pytest.raises(ValidationFailedError, match="empty"):
        said(compiled("{{ nothing }}"))


def test_an_error_of_the_template_is_at_its_field() -> None:
    with pytest.raises(ValidationFailedError, match="Line 2") as refused:
        compiled("a\n{{ oh")
    assert refused.value.problems[0].field == "text"


@pytest.mark.parametrize("name", ["Fieldmarket", "A-B & C", "12345", "+4915123456789", ""])
def test_senders_that_phones_show(name: str) -> None:
    SMS.content_schema.model_validate({"sender_name": name, "text": "x"})


@pytest.mark.parametrize("name", ["Fieldmarkets", "Магазин", "a\nb", "1" * 16, "é"])
def test_senders_that_phones_do_not_show(name: str) -> None:
    with pytest.raises(ValidationError, match="11 Latin"):
        SMS.content_schema.model_validate({"sender_name": name, "text": "x"})
