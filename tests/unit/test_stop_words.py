"""Which replies ask for no more messages."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envoi.feedback.replies import STOP_WORDS, is_stop


@pytest.mark.parametrize(
    "text",
    [
        *("STOP", "stop", " Stop.", "«СТОП»", "стоп!", "Stop sending me these", "СТОП, хватит"),
        *("Unsubscribe please", "Отписаться", "STOPALL", "\tstop\n", "ＳＴＯＰ", "\ufeffSTOP"),
        # С, Т and О of the other alphabet.
        *("CTOП", "SТОР", "\u0421\u0422O\u041f"),
    ],
)
def test_these_are(text: str) -> None:
    assert is_stop(text)


@pytest.mark.parametrize(
    "text",
    ["", "   ", "Where is the bus stop?", "Stopwatch", "Стопка книг", "Don't stop", "Да", "🛑"],
)
def test_these_are_not(text: str) -> None:
    assert not is_stop(text)


def test_a_company_has_words_of_its_own() -> None:
    assert is_stop("Не надо больше", ["не надо"])
    assert is_stop("НЕТ", ["нет", ""])
    assert not is_stop("не", ["не надо"])
    assert not is_stop("надо не", ["не надо"])
    assert not is_stop("anything", ["", "  ", "!"])


@given(st.sampled_from(STOP_WORDS), st.sampled_from([str.upper, str.title, str.lower]))
def test_case_and_marks_do_not_matter(word: str, cased: Callable[[str], str]) -> None:
    assert is_stop(f" - {cased(word)} ...")


@given(st.text(max_size=200))
def test_no_text_makes_trouble(text: str) -> None:
    assert is_stop(f"stop {text}")
    assert is_stop(text) in (True, False)
