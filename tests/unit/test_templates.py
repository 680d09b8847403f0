"""Message templates: what marketers may do, and that nobody can do more."""

from __future__ import annotations

import time
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envoi.content.templates import JinjaTemplate, unknown_variables
from envoi.errors import TemplateError

CLIENT = {
    "client": {
        "properties": {
            "first_name": "Anna",
            "last_name": "",
            "points": 1234.5,
            "visits": 21,
            "city": None,
            "birth_date": date(1990, 3, 8),
            "tags": ["a", "b", "c"],
        }
    }
}


def render(source: str, variables: dict[str, Any] | None = None, *, html: bool = False) -> str:
    return JinjaTemplate(source, html=html).render(CLIENT if variables is None else variables)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Hi {{ client.properties.first_name }}", "Hi Anna"),
        ("{{ client['properties']['first_name'] }}", "Anna"),
        ("{{ client.properties.last_name | default('friend') }}", "friend"),
        ("{{ client.properties.city | default('town') }}", "town"),
        ("{{ nobody.knows.this | default('x') }}{{ nor_this }}", "x"),
        ("{{ client.properties.points | number(1) }}", "1\u00a0234,5"),
        ("{{ client.properties.points | number(2, ',', '.') }}", "1,234.50"),
        ("{{ client.properties.birth_date | date }}", "08.03.1990"),
        ("{{ '2026-02-01' | date('%d/%m/%y') }}", "01/02/26"),
        ("{{ client.properties.visits | plural('балл', 'балла', 'баллов') }}", "балл"),
        ("{{ 12 | plural('балл', 'балла', 'баллов') }}", "баллов"),
        ("{{ 23 | plural('балл', 'балла', 'баллов') }}", "балла"),
        ("{{ 1 | plural('point', 'points') }} {{ 2 | plural('point', 'points') }}", "point points"),
        (
            "{{ 'ab cd' | title }}{{ 'ab' | upper }}{{ 'AB' | lower }}{{ 'ab' | capitalize }}",
            "Ab CdABabAb",
        ),
        ("{{ 'a long story' | truncate(6) }}", "a lon…"),
        ("{{ 'a b&c' | urlencode }}", "a%20b%26c"),
        ("{{ client.properties.tags | join('-') }}", "a-b-c"),
        ("{{ client.properties.tags | length }}{{ client.properties.tags | first }}", "3a"),
        ("{{ client.properties.tags | last }}{{ client.properties.tags[1] }}", "cb"),
        ("{{ 2.567 | round(1) }}{{ ' x ' | trim }}{{ 'aba' | replace('a', 'o') }}", "2.6xobo"),
        ("{% if client.properties.points > 1000 %}gold{% else %}blue{% endif %}", "gold"),
        ("{% if client.properties.city > 5 %}a{% else %}b{% endif %}", "b"),
        ("{% if not client.properties.last_name %}none{% endif %}", "none"),
        ("{% if client.properties.city == '' %}none{% endif %}", "none"),
        (
            "{% for t in client.properties.tags %}{{ loop.index }}{{ t }}{% endfor %}",
            "1a2b3c",
        ),
        ("{% for t in nothing %}{{ t }}{% else %}empty{% endfor %}", "empty"),
        ("{% for t in 'abc' %}{{ t }}{% endfor %}", ""),
        ("{% set n = client.properties.first_name ~ '!' %}{{ n }}", "Anna!"),
        ("{{ client.properties.points * 2 + 1 }}|{{ missing + 1 }}|{{ -missing }}", "2470||"),
        ("{{ client.properties.first_name[:1] }}{{ client.properties.tags[9] }}", "A"),
        ("{{ client }}{{ client.properties.tags }}{{ client.items }}{{ client.keys }}", ""),
        ("{{ 'x' if client.properties.city is defined else 'y' }}", "y"),
        ("{{ 'yes' if 'a' in ['a', 'b'] }}", "yes"),
        ("{# nothing #}{% raw %}{{ x }}{% endraw %}\n", "{{ x }}\n"),
    ],
)
def test_what_marketers_write(source: str, expected: str) -> None:
    assert render(source) == expected


def test_html_is_escaped_only_in_html() -> None:
    values = {"name": "<b>&"}
    assert render("{{ name }}<i>", values, html=True) == "&lt;b&gt;&amp;<i>"
    assert render("{{ name }}<i>", values) == "<b>&<i>"
    assert render("{{ name | upper ~ '<' }}", values, html=True) == "&lt;B&gt;&amp;&lt;"


@given(st.dictionaries(st.sampled_from(["a", "b"]), st.text() | st.integers() | st.none()))
def test_values_are_never_executed(values: dict[str, Any]) -> None:
    shown = render("[{{ a }}]", values)
    assert shown == f"[{'' if values.get('a') is None else values['a']}]"


SSTI = r"""
{{ ''.__class__ }}
{{ ''.__class__.__mro__ }}
{{ ''.__class__.__mro__[1].__subclasses__() }}
{{ [].__class__.__base__ }}
{{ {}.__class__ }}
{{ ().__class__ }}
{{ client.__class__ }}
{{ client.properties.__init__.__globals__ }}
{{ client['__class__'] }}
{{ client['_x'] }}
{{ client|attr('__class__') }}
{{ client|attr('keys') }}
{{ ''|attr('__cl'~'ass__') }}
{{ client['__cl'~'ass__'] }}
{{ client['\x5f\x5fclass\x5f\x5f'] }}
{{ client['__cl''ass__'] }}
{{ (client|list)[0] }}
{{ client|map(attribute='__class__') }}
{{ [client]|map('attr', 'x')|list }}
{{ [1]|map('string')|list }}
{{ client|selectattr('x') }}
{{ client|groupby('__class__') }}
{{ client|sort(attribute='__class__') }}
{{ client|xmlattr }}
{{ client|tojson }}
{{ client|pprint }}
{{ client|string }}
{{ '<b>'|safe }}
{{ 'x'|forceescape }}
{{ '%s'|format(client) }}
{{ '{0.__class__}'.format(client) }}
{{ '{0.__class__}'.format_map(client) }}
{{ '%s' % client }}
{{ 'a'.join(['b']) }}
{{ 'a'.upper() }}
{{ client.keys() }}
{{ client.items() }}
{{ client.pop('properties') }}
{{ client.update({'a': 1}) }}
{{ client.get('properties') }}
{{ lipsum() }}
{{ lipsum.__globals__ }}
{{ lipsum|attr('__globals__') }}
{{ range(10) }}
{{ cycler('a') }}
{{ cycler.__init__.__globals__.os.popen('id').read() }}
{{ joiner() }}
{{ namespace(a=1) }}
{{ dict(a=1) }}
{{ self.__init__ }}
{{ self._TemplateReference__context }}
{{ self() }}
{{ request.application.__globals__ }}
{{ config.items() }}
{{ get_flashed_messages() }}
{{ url_for.__globals__ }}
{{ loop() }}
{{ caller() }}
{{ super() }}
{{ varargs.__class__ }}
{% import 'os' as os %}
{% from 'x' import y %}
{% include '/etc/passwd' %}
{% extends 'base.html' %}
{% block a %}{% endblock %}
{% macro a() %}{{ a() }}{% endmacro %}
{% call a() %}{% endcall %}
{% filter upper %}x{% endfilter %}
{% set x %}y{% endset %}
{% set ns.x = 1 %}
{% set a, b = 1, 2 %}
{% with a = 1 %}{% endwith %}
{% do client.clear() %}
{% autoescape false %}{% endautoescape %}
{% debug %}
{% trans %}x{% endtrans %}
{% for a in b recursive %}{% endfor %}
{% for a, b in c %}{% endfor %}
{% for _x in c %}{% endfor %}
{{ _loop }}
{{ client|_loop }}
{{ ['a', client]|_concat }}
{{ x is callable }}
{{ x is mapping }}
{{ x is filter('upper') }}
{{ x is sameas(y) }}
{{ 2 ** 3 }}
{{ {'a': 1} }}
{{ [client, client] }}
{{ [[1]] }}
{{ (client, 1) }}
{{ x|default(*y) }}
{{ x|default(**y) }}
{{ x|random }}
{{ x|batch(2) }}
{{ x|slice(2) }}
{{ x|center(9) }}
{{ x|indent }}
{{ x|wordwrap }}
{{ x|urlize }}
{{ x|filesizeformat }}
{{ x|reverse }}
""".strip().splitlines()


@pytest.mark.parametrize("source", SSTI)
def test_nothing_escapes(source: str) -> None:
    """Every attempt is refused, or gives nothing but what the template says itself."""
    try:
        shown = render(source)
    except TemplateError:
        return
    assert shown == "", shown


def test_there_are_enough_attempts() -> None:
    assert len(set(SSTI)) >= 80


class _Secretive:
    password = "hunter2"

    def __str__(self) -> str:
        return self.password


def test_objects_are_empty_boxes() -> None:
    source = "{{ x }}{{ x.password }}{{ x['password'] }}{{ x | upper }}{{ x | default('') | join }}"
    assert render(source, {"x": _Secretive()}) == ""


LONG = "x" * 15_000
SILENT = "{% if text | upper | title | lower == 'x' %}{% endif %}"
BOMBS = {
    "power": "{{ 9 ** 9999999 }}",
    "repetition": "{{ 'a' * 500000000 }}",
    "list repetition": "{{ [1] * 500000000 }}",
    "growing number": "{% set a = 99999999 %}" + "{% set a = a * a %}" * 40 + "{{ a }}",
    "doubling text": "{% set a = text %}" + "{% set a = a ~ a %}" * 40 + "{{ a }}",
    "nested loops": "{% for a in items %}" * 3 + "x" + "{% endfor %}" * 3,
    "loops one after another": "{% for a in items %}{{ a }}{% endfor %}" * 200,
    "four loops": "{% for a in items %}" * 4 + "{% endfor %}" * 4,
    "heavy loop": "{% for a in items %}" + "{{ text | upper | lower }}" * 200 + "{% endfor %}",
    "heavy silent loop": f"{{% for a in items %}}{SILENT * 300}{{% endfor %}}",
    "replace": "{{ text | replace('x', text) }}",
    "replace nothing": "{{ text | replace('', text) }}",
    "join": "{{ items | join(text) }}",
    "urlencode": "{{ text | urlencode }}",
    "huge exponent": "{{ '1e999999999' | number }}",
    "huge plural": "{{ '1e999999999' | plural('a', 'b') }}",
    "huge round": "{{ '1e999999999' | round }}",
    "long output": "{{ text }}" * 4_000,
    "deep brackets": "{{ " + "(" * 50_000 + "a" + ")" * 50_000 + " }}",
    "deep not": "{{ " + "not " * 50_000 + "a }}",
    "deep if": "{% if a %}" * 5_000 + "{% endif %}" * 5_000,
    "deep filters": "{{ a" + "|upper" * 10_000 + " }}",
    "deep attributes": "{{ a" + ".b" * 20_000 + " }}",
    "long sum": "{{ " + "1+" * 100_000 + "1 }}",
    "many expressions": "{{ a }}" * 70_000,
    "never closed": "{{ " * 150_000,
    "ten megabytes": "x" * 10_000_000,
    "lipsum": "{{ lipsum(n=100000) }}",
    "range": "{% for a in range(100000000) %}x{% endfor %}",
    "long constant": "{{ " + "9" * 100_000 + " }}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_in_time(name: str) -> None:
    variables = {"text": LONG, "items": list(range(1_000))}
    started = time.thread_time()
    with pytest.raises(TemplateError):
        JinjaTemplate(BOMBS[name], html=True).render(variables)
    assert time.thread_time() - started < 2


def test_error_names_the_line() -> None:
    with pytest.raises(TemplateError, match="Line 3: There is no filter loud") as caught:
        JinjaTemplate("a\nb\n{{ c | loud }}", html=False)
    assert caught.value.line == 3


@pytest.mark.parametrize(
    "source", ["{{ a | number }}", "{{ 1 / zero }}", "{{ a - 1 }}", "{{ a | date }}"]
)
def test_values_that_do_not_suit_are_an_error(source: str) -> None:
    with pytest.raises(TemplateError):
        render(source, {"a": "abc", "zero": 0})


def test_unknown_variables_are_listed_once() -> None:
    source = """{{ client.properties.first_name }}{{ client.properties.frist_name }}
        {% for line in receipt.lines %}{{ line.name }}{{ loop.index }}{% endfor %}
        {% set hi = nope %}{{ hi }}{{ client.custom.size | default(client.custom.shoe) }}"""
    known = ["client.properties.first_name", "client.custom.*", "receipt.lines"]
    assert unknown_variables(source, known) == ["client.properties.frist_name", "nope"]
