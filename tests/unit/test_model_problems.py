"""What a model refuses is said in our own words, in each language."""

from __future__ import annotations

from datetime import date, time
from enum import StrEnum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from envoi.errors import problems_of
from envoi.webkit.sentences import said
from envoi_web.texts import read

GIVEN: dict[str, Any] = {"name": "tea"}


class Kind(StrEnum):
    """A choice."""

    ONE = "one"


class Form(BaseModel):
    """Every sort of field that our settings have."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=1000)
    code: str = Field("abc", min_length=3, pattern="^[a-z]*$")
    many: list[int] = Field([1], min_length=1, max_length=2)
    whole: int = Field(5, ge=1, le=65535)
    share: float = Field(0.5, gt=0, lt=1)
    sure: bool = True
    day: date = date(2026, 11, 24)
    hour: time = time(21, 30)
    kind: Kind = Kind.ONE
    side: Literal["left"] = "left"

    @field_validator("code")
    @classmethod
    def _no_tea(cls, value: str) -> str:
        if value == "tea":
            raise ValueError("Tea is sold out. Choose another.")
        return value


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": ""}, "This is not filled in. Enter a value."),
        ({"name": 5}, "Enter a text."),
        ({"name": "x" * 1001}, "At most 1,000 characters fit. Shorten the text."),
        ({"code": "ab"}, "At least 3 characters are needed. Enter more."),
        ({"code": "ABC"}, "This is not written as it should be. Correct it."),
        ({"code": "tea"}, "Tea is sold out. Choose another."),
        ({"many": [1, 2, 3]}, "At most 2 entries fit. Remove some."),
        ({"many": ["x"]}, "Enter a whole number."),
        ({"whole": 0}, "Enter a number from 1."),
        ({"whole": 70_000}, "Enter a number up to 65,535."),
        ({"whole": "1.5"}, "Enter a whole number."),
        ({"share": 0}, "Enter a number above 0."),
        ({"share": "1"}, "Enter a number below 1."),
        ({"share": "half"}, "Enter a number."),
        ({"sure": "perhaps"}, "Choose yes or no."),
        ({"day": "tomorrow"}, "Enter a date, such as 2026-11-24."),
        ({"hour": "25:00"}, "Enter a time from 00:00 to 23:59, such as 09:30."),
        ({"kind": "two"}, "This is none of the offered values. Choose one of them."),
        ({"side": "right"}, "This is none of the offered values. Choose one of them."),
        ({"more": 1}, "There is no such setting. Remove it."),
    ],
)
def test_a_refusal_is_a_sentence_of_ours(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Form.model_validate(GIVEN | wrong)
    assert [p.message for p in problems_of(refused.value)] == [sentence]


@pytest.mark.parametrize(
    ("sentence", "translated"),
    [
        (
            "At most 1,000 characters fit. Shorten the text.",
            "Помещается не больше 1,000 знаков. Сократите текст.",
        ),
        ("Enter a number above 0.5.", "Введите число больше 0.5."),
        (
            "At most 3 messages by email, sms of certain categories in any day; more are dropped",
            "Не больше 3 сообщений (каналы: email, sms) отдельных категорий",
        ),
    ],
)
def test_values_stay_in_a_translated_sentence(
    monkeypatch: pytest.MonkeyPatch, sentence: str, translated: str
) -> None:
    russian = {str(m.id): str(m.string) for m in read("ru") if m.id and isinstance(m.id, str)}
    monkeypatch.setattr("envoi.webkit.sentences.gettext", lambda text: russian.get(text) or text)
    assert said(sentence).startswith(translated)
