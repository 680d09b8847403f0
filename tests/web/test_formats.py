"""Numbers, money and dates as the words of the screens ask for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from flask_babel import force_locale, gettext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envoi.webkit import formats, sentences

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@pytest.fixture(params=["en", "ru"])
def language(request: pytest.FixtureRequest, app: Flask) -> Iterator[str]:
    with app.test_request_context("/"), force_locale(request.param):
        yield request.param


def spelled(language: str, english: str, russian: str) -> str:
    return english if language == "en" else russian


def test_numbers(language: str) -> None:
    assert formats.number(13257) == spelled(language, "13,257", "13\u202f257")
    assert formats.number(27.78) == spelled(language, "27.78", "27,78")
    assert formats.number(-5) == "−5"
    assert formats.number(None) == "–"


def test_shares(language: str) -> None:
    assert formats.percent(0.431) == spelled(language, "43.1\u00a0%", "43,1\u00a0%")
    assert formats.points(0.0321) == spelled(language, "+3.21", "+3,21")
    assert formats.points(-0.0005) == spelled(language, "−0.05", "−0,05")
    assert formats.points(0.0) == spelled(language, "0.00", "0,00")


def test_money(language: str) -> None:
    assert formats.money(51290430, "EUR") == spelled(
        language, "€512,904.30", "512\u202f904,30\u00a0€"
    )
    assert formats.money(-34, "EUR") == spelled(language, "−€0.34", "−0,34\u00a0€")
    assert formats.money(1500, "JPY", unit=False) == spelled(language, "1,500", "1\u202f500")


def test_moments(language: str) -> None:
    assert formats.moment(NOON, BERLIN) == spelled(
        language, "24 Nov 2026, 10:00 CET", "24 нояб. 2026, 10:00 CET"
    )
    assert formats.moment(NOON, ZoneInfo("Asia/Tbilisi")).endswith("13:00 UTC+04")
    assert formats.day(date(2026, 3, 1)) == spelled(language, "1 Mar 2026", "1 мар. 2026")
    assert formats.clock(NOON, BERLIN) == "10:00"


def test_thousands(language: str) -> None:
    assert formats.abbreviated(421_300) == {"en": "421\u00a0k", "ru": "421\u00a0тыс."}[language]
    assert formats.abbreviated(999) == "999"


@given(values=st.lists(st.text("abc019 @/", min_size=1), min_size=4, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("language", ["ru"], indirect=True)
def test_a_sentence_keeps_its_values_in_another_language(language: str, values: list[str]) -> None:
    assert language == "ru"
    for sentence in sentences.WITH_VALUES:
        names = dict.fromkeys(re.findall(r"{(\w+)}", sentence))
        alike = {"count": "1,234", "place": "rule kind frequency-cap"}
        named = dict(zip(names, values, strict=False)) | alike
        said = formats.translated(sentence.format(**named))
        russian = str(gettext(sentence))
        assert said == russian.format(**named)
        assert russian != sentence


def test_a_sentence_around_another_is_translated_with_it(language: str) -> None:
    inner = "Line 3 ends in the middle of a character: the file is cut off."
    assert formats.translated(f"{inner} Nothing was imported.") == spelled(
        language,
        f"{inner} Nothing was imported.",
        "Строка 3 обрывается посреди знака: файл обрезан. Ничего не импортировано.",
    )
    assert formats.translated("Nobody says this {here}.") == "Nobody says this {here}."
