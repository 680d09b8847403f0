"""Blocks: what they refuse, what MJML and HTML become of them, and that both are one message."""

from __future__ import annotations

import email
import re
import time
from email import policy
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from envoi.blocks import BLOCKS, DRAFT, MAX_BLOCKS, new_block
from envoi.content.kit import Kit
from envoi.content.rich_text import clean_rich_text
from envoi.errors import EnvoiError, ValidationFailedError
from envoi.library.templates import LANGUAGES, starting_templates
from envoi.types import Envelope, Recipient
from envoi_channel_email.content import EmailContent
from envoi_channel_email.mime import compile_email, preview_email

HEAD = {"subject": "Subject", "sender_address": "a@b.test"}
ANNA = {"client": {"properties": {"first_name": "Anna"}, "fields": {}}}
NAME = '{{ client.properties.first_name | default("friend") }}'

words = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=40)
lines = words.map(lambda text: text.replace("{", "("))
filled = lines.filter(lambda text: text.strip() != "")
links = st.sampled_from(["https://shop.test/a?b=1#c", "mailto:a@b.test", "tel:+491", NAME])
simple = st.one_of(
    st.fixed_dictionaries({"type": st.just("heading"), "text": filled}),
    st.fixed_dictionaries({"type": st.just("text"), "html": filled.map(lambda t: f"<p>{NAME}{t}")}),
    st.fixed_dictionaries(
        {"type": st.just("image"), "src": st.just("https://shop.test/a.png"), "alt": filled}
    ),
    st.fixed_dictionaries({"type": st.just("button"), "label": filled, "link": links}),
    st.fixed_dictionaries({"type": st.sampled_from(["divider", "spacer"])}),
    st.fixed_dictionaries(
        {
            "type": st.just("product"),
            "name": filled,
            "price": lines,
            "link": links,
            "label": lines,
            "layout": st.sampled_from(["stacked", "side"]),
        }
    ),
)
blocks = st.one_of(
    simple,
    st.fixed_dictionaries(
        {
            "type": st.just("columns"),
            "columns": st.lists(st.lists(simple, max_size=3), min_size=2, max_size=3),
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("social"),
            "links": st.just([{"network": "x", "link": "https://x.test/"}]),
        }
    ),
    st.fixed_dictionaries({"type": st.just("footer"), "address": lines}),
    st.just({"type": "raw", "mjml": "<mj-text>Raw words</mj-text>"}),
)


def content_of(*made: Any, **fields: Any) -> EmailContent:
    return EmailContent.model_validate({**HEAD, "blocks": list(made), **fields})


def shown(*made: Any, variables: Any = None, **fields: Any) -> str:
    return preview_email(content_of(*made, **fields), Kit(), variables or {})


class Reader(HTMLParser):
    """Collects what a mail program would act on."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.handlers: list[str] = []
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.targets += [value or "" for name, value in attrs if name in ("href", "src")]


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    return reader


def sent(content: EmailContent, variables: Any) -> dict[str, str]:
    envelope = Envelope(message_domain="e.test", return_path_domain="e.test")
    compiled = compile_email(content, envelope, Kit())
    recipient = Recipient(
        address="anna@shop.test",
        name="Anna",
        variables=variables,
        message_key="k1",
        unsubscribe_url="",
        one_click_url="https://e.test/u",
        open_url="",
        click=lambda number, target: target or compiled.links[number],
    )
    made = email.message_from_bytes(compiled.render(recipient).payload, policy=policy.default)
    return {
        part.get_content_type(): part.get_content()
        for part in made.walk()
        if not part.is_multipart()
    }


@given(st.lists(blocks, min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_any_blocks_become_a_message_with_words(made: list[dict[str, Any]]) -> None:
    content = content_of(*made)
    html = preview_email(content, Kit(), ANNA)
    assert html.count("<body") == html.count("</body") == 1
    text = Kit().plain_text(html)
    has_words = any(b["type"] not in ("divider", "spacer", "columns") for b in made)
    assert not has_words or text.strip()
    again = EmailContent.model_validate(content.model_dump(mode="json"))
    assert again == content


@pytest.mark.parametrize(
    "fields",
    [
        {"blocks": [{"type": "text", "html": f"<p>{NAME} <a href='https://s.test/'>x</a></p>"}]},
        {
            "body_format": "mjml",
            "body": "<mjml><mj-body><mj-section><mj-column><mj-text>"
            f"{NAME} <a href='https://s.test/?a=1'>x</a></mj-text></mj-column></mj-section></mj-body></mjml>",
        },
        {
            "body_format": "html",
            "body": f"<html><body>{NAME} <a href='https://s.test/'>x</a></body></html>",
        },
    ],
    ids=["blocks", "mjml", "html"],
)
def test_preview_is_what_is_sent_but_for_tokens(fields: dict[str, Any]) -> None:
    content = EmailContent.model_validate(
        {**HEAD, **fields, "preheader": f"Hi {NAME}", "utm": {"utm_source": "envoi"}}
    )
    html = sent(content, ANNA)["text/html"].replace("\r\n", "\n")
    pixel = '<img src="" width="1" height="1" alt="" style="display:block;border:0">'
    assert html.count(pixel) == 1
    assert html.replace(pixel, "").strip() == preview_email(content, Kit(), ANNA).strip()
    assert "Anna" in html
    assert "utm_source=envoi" in html


@pytest.mark.parametrize(
    ("block", "path", "said"),
    [
        ({"type": "image", "src": "https://a.test/b.png"}, "blocks.0.image.alt", "decorative"),
        ({"type": "image", "alt": "x"}, "blocks.0.image.src", "Choose one"),
        ({"type": "heading"}, "blocks.0.heading.text", "Fill it in"),
        (
            {"type": "button", "label": "x", "link": "javascript:alert(1)"},
            "blocks.0.button.link",
            "https",
        ),
        (
            {"type": "button", "label": "x", "link": " JaVaScRiPt:alert(1)"},
            "blocks.0.button.link",
            "https",
        ),
        ({"type": "image", "src": "data:image/png;base64,x"}, "blocks.0.image.src", "https"),
        ({"type": "spacer", "height": 100000}, "blocks.0.spacer.height", "200"),
        ({"type": "heading", "text": "x", "colour": "red"}, "blocks.0.heading.colour", "permitted"),
        ({"type": "nothing"}, "blocks.0", "tag"),
        (
            {"type": "columns", "columns": [[{"type": "button"}], []]},
            "blocks.0.columns.columns.0.0.button.label",
            "Fill it in",
        ),
    ],
)
def test_what_is_wrong_is_said_at_its_field(block: Any, path: str, said: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        content_of(block)
    found = {".".join(map(str, e["loc"])): e["msg"] for e in refusal.value.errors()}
    assert said in found[path]


def test_a_draft_may_be_incomplete_but_not_dangerous() -> None:
    empty = [new_block(kind, f"b{n}") for n, kind in enumerate(BLOCKS)]
    draft = EmailContent.model_validate({"blocks": empty}, context=DRAFT)
    assert "<body" in preview_email(draft, Kit(), {})
    with pytest.raises(ValidationError):
        EmailContent.model_validate(
            {"blocks": [{"type": "button", "link": "javascript:x"}]}, context=DRAFT
        )


def test_a_template_error_names_its_block() -> None:
    with pytest.raises(ValidationFailedError) as refusal:
        shown({"type": "divider"}, {"type": "heading", "text": "{{ nobody | nofilter }}"})
    assert [p.field for p in refusal.value.problems] == ["blocks.1.text"]
    with pytest.raises(ValidationFailedError) as refusal:
        shown({"type": "raw", "mjml": "<mj-text>\n<b>x</mj-text>"})
    assert refusal.value.problems[0].field == "blocks.0.mjml"
    assert "Line 2" in refusal.value.problems[0].message
    with pytest.raises(ValidationFailedError):
        shown({"type": "raw", "mjml": "</mj-body><script>alert(1)</script>"})


def test_200_blocks_compile_quickly() -> None:
    made = [
        {"type": "columns", "columns": [[{"type": "heading", "text": "x"}], [{"type": "divider"}]]}
        if n % 10 == 0
        else {"type": "text", "html": f"<p>{NAME} says {n}</p>"}
        for n in range(MAX_BLOCKS)
    ]
    began = time.process_time()
    assert shown(*made).count("says") == MAX_BLOCKS * 9 // 10
    assert time.process_time() - began < 2
    with pytest.raises(ValidationError):
        content_of(*made, {"type": "divider"})


def test_variables_have_fallbacks_in_every_field() -> None:
    made = [
        {"type": "heading", "text": NAME},
        {"type": "text", "html": f"<p>{NAME}</p>"},
        {"type": "button", "label": NAME, "link": f"https://s.test/{NAME}"},
        {"type": "image", "src": "https://s.test/a.png", "alt": NAME},
        {"type": "product", "name": NAME, "price": NAME},
        {"type": "footer", "address": NAME},
    ]
    assert shown(*made).count("friend") == 8
    personal = shown(*made, variables={"client": {"properties": {"first_name": '<"Ann">'}}})
    assert personal.count("&lt;&#34;Ann&#34;&gt;") == 7
    assert personal.count("https://s.test/&lt;&quot;Ann&quot;&gt;") == 1


def test_utm_is_added_but_overwrites_nothing() -> None:
    utm = {"utm_source": "a b", "utm_campaign": "spring"}
    targets = {
        "https://s.test/": "https://s.test/?utm_source=a%20b&utm_campaign=spring",
        "https://s.test/?utm_source=x#top": "https://s.test/?utm_source=x&utm_campaign=spring#top",
        "https://s.test/?a=1&b=2": "https://s.test/?a=1&b=2&utm_source=a%20b&utm_campaign=spring",
        'https://s.test/{{ client.fields.x | default("#?") }}': "https://s.test/#?"
        "?utm_source=a%20b&utm_campaign=spring",
        "mailto:a@b.test": "mailto:a@b.test",
        "tel:+49": "tel:+49",
        "{{ unsubscribe_url }}": "U",
    }
    made = [{"type": "button", "label": "x", "link": link} for link in targets]
    html = shown(*made, utm=utm, variables={"unsubscribe_url": "U"})
    assert read(html).targets == list(targets.values())


def test_word_paste_leaves_words() -> None:
    pasted = (
        "<html xmlns:o='urn:x'><head><style>p.MsoNormal{margin:0}</style></head><body>"
        "<!--[if gte mso 9]><xml><o:x>1</o:x></xml><![endif]-->"
        "<p class=MsoNormal style='mso-x:1'><span lang=DE>Hello <b>you</b><o:p></o:p></span></p>"
        "<p class=MsoListParagraph><o:p>&nbsp;</o:p></p><table><tr><td>cell</td></tr></table>"
        "<a href='file:///C:/x'>bad</a> <a href='https://s.test'>good</a></body></html>"
    )
    cleaned = clean_rich_text(pasted)
    assert cleaned.startswith("<p>Hello <b>you</b></p>")
    assert "Mso" not in cleaned
    assert "file:" not in cleaned
    assert '<a href="https://s.test">good</a>' in cleaned
    assert clean_rich_text(cleaned) == cleaned


@given(st.text(max_size=200) | st.text("<>&;p/ b{}%!-[]", max_size=60), st.booleans())
@example("<b><!-- </b>&lt;", True)
def test_cleaning_is_stable(text: str, is_markup: bool) -> None:
    once = clean_rich_text(f"<p>{text}</p>" if is_markup else text)
    assert clean_rich_text(once) == once


def test_hostile_braces_take_no_time() -> None:
    began = time.process_time()
    clean_rich_text("<p>" + "{%" * 20_000 + "{#" * 4_000)
    assert time.process_time() - began < 1


def test_a_huge_body_is_refused_in_words() -> None:
    with pytest.raises(ValidationError, match=r"larger than 0\.5 MB"):
        EmailContent.model_validate(
            {**HEAD, "body_format": "html", "body": "x" * (10 * 1024 * 1024)}, context=DRAFT
        )


@pytest.mark.parametrize("language", LANGUAGES)
def test_starting_templates_can_be_sent(language: str) -> None:
    found = starting_templates(language)
    assert [t.code for t in found] == ["newsletter", "offer", "letter"]
    for template in found:
        content = EmailContent.model_validate({**HEAD, **template.content})
        parts = sent(content, ANNA)
        assert "Anna" in parts["text/plain"]
        assert len(parts["text/html"]) < 102 * 1024


XSS = [
    pattern.format(payload)
    for payload in ("alert(1)", "alert`1`", "eval(name)", "top[8680439..toString(30)](1)", "x")
    for pattern in (
        "<script>{}</script>",
        "<ScRiPt src=//e.test/{}></script>",
        "<img src=x onerror={}>",
        '"><svg/onload={}>',
        "'><body onload={}>",
        "<iframe srcdoc='<script>{}</script>'>",
        "<a href=javascript:{}>x</a>",
        '<a href="jav&#x09;ascript:{}">x</a>',
        "<a href='vbscript:{}'>x</a>",
        "<math><mtext><script>{}</script>",
        "<style>@import 'javascript:{}'</style>",
        "<object data=javascript:{}>",
        "<embed src=javascript:{}>",
        "<form action=javascript:{}><button>x",
        "<details open ontoggle={}>",
        "<input autofocus onfocus={}>",
        "<video><source onerror={}>",
        "<base href=javascript:{}//>",
        "<meta http-equiv=refresh content='0;url=javascript:{}'>",
        "{{{{ '<script>{}</script>' }}}}",
        "{{% raw %}}<script>{}</script>{{% endraw %}}",
        '{{% raw %}}{{{{ " onload={} x=" }}}}{{% endraw %}}',
        "{{# <script> #}}<script>{}</script>",
        "<!--[if mso]><script>{}</script><![endif]-->",
        "</mj-text><mj-raw><script>{}</script></mj-raw>",
        "]]><script>{}</script>",
        "<noscript><p title='</noscript><img src=x onerror={}>'>",
        "<p style='background:url(javascript:{})'>",
        '<a href="data:text/html,<script>{}</script>">x</a>',
        "&lt;script&gt;{}&lt;/script&gt;",
    )
]


def test_there_are_150_attacks() -> None:
    assert len(set(XSS)) == 150


def usable(made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks that are not refused at once: a refusal is as good as anything."""
    found = []
    for block in made:
        try:
            content = content_of(block)
            Kit().blocks_mjml(content.blocks, content.style)
        except (EnvoiError, ValidationError):
            continue
        found.append(block)
    return found


def attacked(text: str) -> list[dict[str, Any]]:
    return [
        {"type": "text", "html": text},
        {"type": "heading", "text": text},
        {"type": "button", "label": text, "link": "https://s.test/" + text.replace(" ", "")},
        {"type": "image", "src": "https://s.test/a.png", "alt": text},
        {"type": "footer", "text": text, "address": text},
        {"type": "product", "name": text, "price": text, "layout": "side"},
        {"type": "raw", "mjml": f"<mj-text>{text}</mj-text>"},
    ]


@pytest.mark.parametrize("first", range(0, 150, 25))
def test_scripts_never_survive_in_blocks(first: int) -> None:
    made = usable([block for text in XSS[first : first + 25] for block in attacked(text)])
    assert len(made) > 100
    html = shown(*made)
    found = read(re.sub(r"<!--.*?-->", "", html, flags=re.DOTALL))
    assert not found.tags & {"script", "iframe", "object", "embed", "base", "svg"}
    assert not found.handlers
    assert not any(re.match(r"\s*((java|vb)script|data):", t, re.I) for t in found.targets)


INJECTIONS = [
    expression.replace("X", target)
    for target in ("client", "client.properties", "''", "[]", "self", "loop", "cycler", "request")
    for expression in (
        "{{ X.__class__ }}",
        "{{ X.__class__.__mro__[1].__subclasses__() }}",
        "{{ X['__class__'] }}",
        "{{ X|attr('__class__') }}",
        "{{ X.__init__.__globals__ }}",
        "{% for x in X.__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}",
        "{{ X() }}",
        "{% set x = X.__dict__ %}{{ x }}",
        "{% import 'os' as o %}{{ o.popen(X) }}",
        "{{ X.format(X.__doc__) }}",
    )
]


def test_templates_in_blocks_reach_no_python() -> None:
    assert len(set(INJECTIONS)) == 80
    tried = [
        block
        for text in INJECTIONS
        for block in (
            {"type": "heading", "text": text},
            {"type": "text", "html": f"<p>{text}</p>"},
            {"type": "button", "label": "x", "link": f"https://s.test/{text}"},
        )
    ]
    made = usable(tried)
    assert len(made) < len(tried) / 2
    html = shown(*made, variables=ANNA) if made else ""
    assert not re.search(r"class '|uid=|&lt;class|subclasses|built-in", html)


def test_attachments_stand_in_the_frame_once() -> None:
    class Files:
        def picture_url(self, file_id: int) -> str:
            return f"https://e.test/i/{file_id}"

        def attachment(self, file_id: int) -> Any:
            from envoi.types import Attachment

            return Attachment(
                name="Plan für Sie.pdf", media_type="application/pdf", data=b"%PDF" * 99
            )

    content = content_of({"type": "image", "file_id": 7, "alt": "x"}, attachments=[3])
    compiled = compile_email(
        content, Envelope(message_domain="e.test", return_path_domain="e.test"), Kit(Files())
    )
    recipient = Recipient(
        address="anna@shop.test",
        name="",
        variables={},
        message_key="k",
        unsubscribe_url="",
        one_click_url="",
        open_url="",
        click=lambda _number, target: target,
    )
    made = email.message_from_bytes(compiled.render(recipient).payload, policy=policy.default)
    assert made.get_content_type() == "multipart/mixed"
    [attached] = made.iter_attachments()
    assert (attached.get_filename(), attached.get_content()) == ("Plan für Sie.pdf", b"%PDF" * 99)
    body = made.get_body(("html",))
    assert body is not None
    assert "https://e.test/i/7" in body.get_content()
