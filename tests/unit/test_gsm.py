"""Texts of SMS: counted, cut, read again and spelled, for any text."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envoi import gsm
from envoi.gsm import Alphabet, Part

MOST_OCTETS = 140

basic = st.sampled_from([c for c in gsm._BASIC if c != "\x1b"])
extended = st.sampled_from("\f^{}\\[~]|€")
wide = st.sampled_from("🎁👍🏽👩‍👩‍👧𝔘") | st.characters(
    min_codepoint=0x10000, exclude_categories=["Cs"]
)
narrow = st.characters(exclude_categories=["Cs"])
anything = basic | extended | narrow | wide


def _runs(characters: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Long texts of few draws: what matters is what stands where a part ends."""
    run = st.tuples(characters, st.integers(1, 170)).map(lambda drawn: drawn[0] * drawn[1])
    return st.lists(run, max_size=5).map("".join)


texts = _runs(basic | extended) | _runs(anything) | st.text(anything, max_size=20)


def on_air(part: Part) -> int:
    """Octets that a part takes, septets packed behind the header."""
    if part.coding == Alphabet.UNICODE.coding:
        return len(part.udh) + len(part.data)
    header_septets = -(-len(part.udh) * 8 // 7)
    return -(-(header_septets + len(part.data)) * 7 // 8)


def read(cut: Sequence[Part]) -> str:
    return "".join(gsm.text_of(part.data, part.coding) for part in cut)


@settings(max_examples=1_000, deadline=None)
@given(texts, st.integers(0, 70_000))
def test_any_text_survives_being_cut(text: str, reference: int) -> None:
    assert_survives(text, reference)


def test_ten_thousand_texts_survive_being_cut() -> None:
    draw = Random(26)
    alphabets = ("abc@é ", "abc€[]{}^~\\|", "abcжй", "жй🎁👍🏽", "👩\u200d👧𝔘e\u0301")
    for _ in range(10_000):
        text = "".join(draw.choices(draw.choice(alphabets), k=draw.randrange(400)))
        assert_survives(text, draw.randrange(256))


def assert_survives(text: str, reference: int) -> None:
    cut = gsm.parts(text, reference)
    found = gsm.measure(text)
    assert read(cut) == text
    assert [part.number for part in cut] == list(range(1, len(cut) + 1))
    assert found.parts == len(cut) == cut[0].total
    assert {part.coding for part in cut} == {found.alphabet.coding}
    for part in cut:
        assert on_air(part) <= MOST_OCTETS
        assert_whole(part)
        assert bool(part.udh) == (len(cut) > 1)
    room = found.alphabet.alone if len(cut) == 1 else found.alphabet.each
    assert found.left == room - len(cut[-1].data) // found.alphabet.unit
    assert found.characters == sum(len(p.data) for p in cut) // found.alphabet.unit


def assert_whole(part: Part) -> None:
    """A part read alone holds no half of a character."""
    if part.coding == Alphabet.UNICODE.coding:
        part.data.decode("utf-16-be")
    else:
        assert not part.data.endswith(b"\x1b")


@settings(max_examples=1_000, deadline=None)
@given(texts)
def test_what_is_left_is_what_fits(text: str) -> None:
    found = gsm.measure(text)
    filler = "a" * found.left
    assert gsm.measure(text + filler).parts == found.parts
    assert gsm.measure(text + filler + "a").parts == found.parts + 1


@pytest.mark.parametrize(
    ("text", "alphabet", "parts", "characters", "left"),
    [
        ("", Alphabet.GSM, 1, 0, 160),
        ("a" * 160, Alphabet.GSM, 1, 160, 0),
        ("a" * 161, Alphabet.GSM, 2, 161, 145),
        ("a" * 306, Alphabet.GSM, 2, 306, 0),
        ("a" * 307, Alphabet.GSM, 3, 307, 152),
        ("a" * 159 + "€", Alphabet.GSM, 2, 161, 145),
        ("€" * 80, Alphabet.GSM, 1, 160, 0),
        ("a" * 152 + "€" + "a" * 10, Alphabet.GSM, 2, 164, 141),
        ("ж" * 70, Alphabet.UNICODE, 1, 70, 0),
        ("ж" * 71, Alphabet.UNICODE, 2, 71, 63),
        ("ж" * 66 + "🎁" + "ж" * 10, Alphabet.UNICODE, 2, 78, 55),
        ("`", Alphabet.UNICODE, 1, 1, 69),
    ],
)
def test_counts_of_the_standard(
    text: str, alphabet: Alphabet, parts: int, characters: int, left: int
) -> None:
    assert gsm.measure(text) == gsm.Measured(
        alphabet=alphabet, parts=parts, characters=characters, left=left
    )


def test_the_header_numbers_the_parts() -> None:
    assert [p.udh.hex() for p in gsm.parts("a" * 320, 0x1FE)] == [
        "050003fe0301",
        "050003fe0302",
        "050003fe0303",
    ]


def test_more_parts_than_can_be_numbered_are_refused() -> None:
    assert len(gsm.parts("a" * 153 * 255)) == gsm.MOST_PARTS
    with pytest.raises(ValueError, match="255"):
        gsm.parts("a" * 153 * 255 + "a")


def test_half_a_pair_is_a_question_mark_of_the_same_length() -> None:
    assert gsm.measure("ж\ud83c").characters == 2
    assert read(gsm.parts("ж\ud83c")) == "ж?"


def test_an_unknown_escape_is_its_basic_character() -> None:
    assert gsm.text_of(b"\x1bA\x1b\x65\xff", 0) == "A€\ufffd"


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("“Sale” – 5 €…", '"Sale" - 5 €...'),
        ("Щука «Ёлка» — скидка", 'Shchuka "Yolka" - skidka'),
        ("Łódź, Việt", "Lodz, Viet"),
        ("Объём ½ №5\u00a0₽", "Obyom 1/2 No5 RUB"),
        ("🎁 Скидка", "🎁 Скидка"),
    ],
)
def test_spelling(text: str, spelled: str) -> None:
    assert gsm.transliterate(text) == spelled


@settings(max_examples=500, deadline=None)
@given(texts)
def test_spelling_gives_gsm_or_leaves_the_text_alone(text: str) -> None:
    spelled = gsm.transliterate(text)
    assert spelled == text or gsm.measure(spelled).alphabet is Alphabet.GSM
