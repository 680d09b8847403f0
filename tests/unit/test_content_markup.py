"""Links, text parts and MJML: what goes in comes out, and bad input ends quickly."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envoi.content.kit import Kit
from envoi.content.links import SlottedHtml, number_links
from envoi.content.templates import JinjaTemplate
from envoi.errors import TemplateError

KIT = Kit()


def filled(numbered: SlottedHtml, variables: dict[str, object], *, html: bool = True) -> str:
    rendered = JinjaTemplate(numbered.html, html=html).render(variables)
    return numbered.fill(rendered, lambda n, target: f"https://t/{n}?{target}", html=html)


def back(numbered: SlottedHtml) -> str:
    """The HTML with its links as they were."""
    return numbered.fill(numbered.html, lambda n, target: target or numbered.targets[n], html=True)


@given(
    st.lists(
        st.sampled_from(
            ["https://a.test/?x=1&amp;y=2", "http://b.test", "mailto:a@b.test", "tel:+1", "#top"]
        )
    )
)
def test_numbering_links_can_be_undone(targets: list[str]) -> None:
    html = "".join(f"<p class='c'><a title=\"a > b\" href='{t}'>t</a></p>" for t in targets)
    numbered = number_links(html)
    assert back(numbered) == html
    assert len(numbered.targets) == sum(t.startswith("http") for t in targets)


@pytest.mark.parametrize(
    ("html", "targets"),
    [
        ('<a href="https://a.test">x</a>', ("https://a.test",)),
        ("<A HREF=https://a.test/b?c=d>x</A>", ("https://a.test/b?c=d",)),
        ("<area shape=rect href='http://a.test'>", ("http://a.test",)),
        ('<a href="HTTPS://A.test/?a=1&amp;b=2">', ("HTTPS://A.test/?a=1&b=2",)),
        ('<a href="{{ u }}">', ("{{ u }}",)),
        (
            '<a href="{{ u | default("https://a.test") }}">',
            ('{{ u | default("https://a.test") }}',),
        ),
        ('<a href="https://a.test/{{ id }}" class="b">', ("https://a.test/{{ id }}",)),
        ("<a href=https://a.test/{{ id }}>", ("https://a.test/{{ id }}",)),
        ('<a title="href=https://no.test" href="https://a.test">', ("https://a.test",)),
        ('<a data-href="https://a.test">', ()),
        ('<a href="{{ unsubscribe_url }}">', ()),
        ('<a href="{{ preferences_url | default(unsubscribe_url) }}">', ()),
        ('<a href="mailto:{{ x }}">', ()),
        ('<a href="/relative">', ()),
        ("<!-- <a href='https://a.test'> -->", ()),
        ("{# <a href='https://a.test'> #}", ()),
        ("<link href='https://a.test/style.css'>", ()),
        ("<abbr href='https://a.test'>", ()),
    ],
)
def test_which_links_are_tracked(html: str, targets: tuple[str, ...]) -> None:
    assert number_links(html).targets == targets


def test_links_in_loops_carry_their_own_targets() -> None:
    html = '{% for u in urls %}<a href="{{ u }}">x</a>{% endfor %}<a href="https://b.test">y</a>'
    urls = ["https://a.test/?a=1&b=2", "javascript:alert(1)", "", 'https://c.test/"><script>']
    assert filled(number_links(html), {"urls": urls}) == (
        '<a href="https://t/0?https://a.test/?a=1&amp;b=2">x</a><a href="#">x</a><a href="#">x</a>'
        '<a href="https://t/0?https://c.test/&quot;&gt;&lt;script&gt;">x</a><a href="https://t/1?">y</a>'
    )


def test_merged_values_cannot_make_slots() -> None:
    numbered = number_links('<a href="https://a.test">{{ name }}</a>')
    others = number_links('<a href="https://a.test">{{ name }}</a>')
    assert numbered.mark != others.mark
    assert filled(numbered, {"name": others.html}).count("https://t/") == 1


@pytest.mark.parametrize(
    "html",
    [
        "<script>alert(1)</script>",
        "<ScRiPt src=x>",
        "<iframe src=x>",
        "<object>",
        "<embed>",
        "<base href=x>",
        "<img src=x onerror=alert(1)>",
        "<p\nonclick='x'>",
        "<svg/onload=alert(1)>",
        "<img title='>' onload=x>",
        "<a href='javascript:alert(1)'>",
        "<a href=' java&#115;cript:alert(1)'>",
        "<a href=data:text/html,x>",
        "<form action=vbscript:x>",
        "x<applet>",
    ],
)
def test_active_content_is_refused(html: str) -> None:
    with pytest.raises(TemplateError, match="Line 2: "):
        number_links(f"\n{html.replace(chr(10), ' ')}")
    body = f"<mjml><mj-body><mj-raw>{html}</mj-raw></mj-body></mjml>"
    with pytest.raises(TemplateError):
        KIT.mjml(body)


def test_text_part_reads_well() -> None:
    html = """<html><head><title>T</title><style>a{color:red}</style></head><body>
      <h1>Hello {{ name | default("<you>") }}</h1><p>Tom &amp; Jerry,<br>see <a href="https://a.test/?a=1&amp;b=2">this
      offer</a> <img src=x alt="Shoes"></p>
      {% if gold %}<ul><li>one</li><li>two</li></ul>{% endif %}<!-- no --></body></html>"""
    assert KIT.plain_text(html) == (
        'Hello {{ name | default("<you>") }}\n\nTom & Jerry,\n'
        "see this offer (https://a.test/?a=1&b=2) Shoes\n\n"
        "{% if gold %}\n\none\ntwo\n\n{% endif %}\n"
    )


def _mjml(inner: str) -> str:
    return f"<mjml>\n<mj-body>\n{inner}\n</mj-body></mjml>"


def test_template_syntax_survives_mjml() -> None:
    inner = """{% if a < b and "c" %}<mj-section><mj-column>
      <mj-text>{{ a < b }}<br>{# <b> #}</mj-text>
      <mj-button href="{{ url | default("https://a.test") }}">Go</mj-button>
      </mj-column></mj-section>{% endif %}"""
    html = KIT.mjml(_mjml(inner))
    for kept in (
        '{% if a < b and "c" %}',
        "{{ a < b }}",
        "{# <b> #}",
        '"{{ url | default("https://a.test") }}"',
    ):
        assert kept in html
    assert number_links(html).targets == ('{{ url | default("https://a.test") }}',)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            _mjml("<mj-section>\n<mj-column></mj-section>"),
            r"Line 4: </mj-section> does not close <mj-column> of line 4",
        ),
        (_mjml("<mj-section>"), "does not close"),
        (_mjml("<mj-sectoin></mj-sectoin>"), r"Line 3: There is no MJML element <mj-sectoin>"),
        (_mjml("<mj-include path='/etc/passwd' />"), "no MJML element <mj-include>"),
        (_mjml("<mj-section a=b></mj-section>"), "Line 3: The value of a needs quotes"),
        (_mjml("<mj-text>a < b</mj-text>"), "Line 3: A < stands alone"),
        ("<html></html>", "MJML begins with <mjml>"),
        ("hello", "MJML begins with <mjml>"),
        ("", "MJML begins with <mjml>"),
        ("<mjml>", "<mjml> is never closed"),
        ("</mjml>", "</mjml> closes nothing"),
        (_mjml("") + "tail", "not well formed"),
    ],
)
def test_wrong_mjml_is_explained(source: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        KIT.mjml(source)


@pytest.mark.parametrize("depth", [65, 5_000, 200_000])
def test_deep_mjml_is_refused(depth: int) -> None:
    nested = "<mj-text>" * depth + "</mj-text>" * depth
    started = time.thread_time()
    with pytest.raises(TemplateError, match=r"nested more than 64 deep|larger than 512 KB"):
        KIT.mjml(_mjml(nested))
    assert time.thread_time() - started < 2


def test_deep_mjml_hidden_in_comments_harms_nobody() -> None:
    nested = "<!-- --><mj-wrapper/>" * 5_000
    assert "<body" in KIT.mjml(_mjml(nested))


SLOW = {
    "open tags": "<a " * 150_000,
    "quotes": '<a "' * 100_000,
    "both quotes": "<a \"<a '" * 60_000,
    "comments": "<!--" * 120_000,
    "code": "<a {{" * 90_000,
    "code in quotes": '<a "{{a}}{{b}}' * 30_000,
    "braces": "{{" * 250_000,
    "blocks": "{%" * 250_000,
    "attributes": "<a " + "b = " * 120_000,
    "one quote": "<a '" + "{{x}}" * 90_000,
    "less than": "<" * 500_000,
    "spaces": "<a" + " " * 400_000,
    "attribute spaces": "<a b" + " " * 300_000 + ">",
    "links": '<a href="https://a.test">' * 15_000,
    "percent": "<a '{% " + "%" * 400_000,
    "names": "<" + "a" * 400_000,
    "closers": "</" * 200_000,
    "breaks": "<p>" * 100_000,
    "entities": "&" * 400_000 + "<a href=" + "&amp" * 10_000 + ">",
    "cdata": "<![CDATA[" * 50_000,
    "blanks": ("\n" + " " * 200) * 2_000,
}


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize(
    "step", [number_links, KIT.plain_text, KIT.mjml], ids=["links", "text", "mjml"]
)
def test_nothing_takes_long(name: str, step: Callable[[str], object]) -> None:
    started = time.thread_time()
    with suppress(TemplateError):
        step(SLOW[name])
    assert time.thread_time() - started < 2


def test_ten_megabytes_are_refused() -> None:
    for source in ("x" * 10_000_000, "<mj-text>" * 1_200_000):
        with pytest.raises(TemplateError, match="larger than 512 KB"):
            KIT.mjml(source)
