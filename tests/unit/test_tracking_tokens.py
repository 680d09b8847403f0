"""Tokens: genuine ones read back, anything else is refused alike."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from datetime import date
from random import Random
from statistics import quantiles
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envoi.errors import ConfigurationError, NotFoundError
from envoi.tracking.codes import LENGTH, ShortClick
from envoi.tracking.tokens import InvalidTokenError, MessageRef, Token, TokenKind, TokenSigner
from envoi.tracking.urls import UrlMaker, example_urls

SIGNER = TokenSigner(["a secret"])
REF = MessageRef(
    tenant_id=7,
    run_id=12345,
    customer_id=987654321,
    launched_on=date(2026, 5, 17),
    step=2,
    variant=3,
)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

refs = st.builds(
    MessageRef,
    tenant_id=st.integers(1, 2**31 - 1),
    run_id=st.integers(1, 2**63 - 1),
    customer_id=st.integers(1, 2**63 - 1),
    launched_on=st.dates(date(2020, 1, 1), date(2150, 1, 1)),
    step=st.integers(0, 15),
    variant=st.integers(0, 15),
)


@given(refs, st.sampled_from(TokenKind), st.integers(0, 65535), st.text(max_size=50))
def test_tokens_read_back(ref: MessageRef, kind: TokenKind, link: int, target: str) -> None:
    target = target.encode(errors="replace").decode()
    token = SIGNER.sign(ref, kind, link, target)
    assert SIGNER.read(token, target) == Token(kind, ref, link)
    key = SIGNER.message_key(ref)
    assert SIGNER.read_message_key(key) == ref
    assert SIGNER.read_message_key(key.upper()) == ref
    assert len(f"b+{key}") <= 64


def test_every_other_character_is_refused() -> None:
    token = SIGNER.sign(REF, TokenKind.CLICK, 4)
    for place in range(len(token)):
        for other in set(ALPHABET) - {token[place]}:
            with pytest.raises(InvalidTokenError):
                SIGNER.read(token[:place] + other + token[place + 1 :])


def test_every_other_character_of_a_message_key_is_refused() -> None:
    key = SIGNER.message_key(REF)
    for place in range(len(key)):
        for other in set("abcdefghijklmnopqrstuvwxyz234567") - {key[place]}:
            with pytest.raises(InvalidTokenError):
                SIGNER.read_message_key(key[:place] + other + key[place + 1 :])


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "x" * 60,
        "x" * 59,
        "é" * 60,
        "=" * 60,
        "A" * 60 + "\n",
        "\0" * 60,
        "A" * 100_000,
        "١" * 60,
    ],
)
def test_nonsense_is_refused_alike(token: str) -> None:
    with pytest.raises(
        NotFoundError, match=r"The link is not valid. Open it from the original message."
    ):
        SIGNER.read(token)
    with pytest.raises(NotFoundError):
        SIGNER.read_message_key(token)


def test_cut_or_lengthened_tokens_are_refused() -> None:
    token = SIGNER.sign(REF, TokenKind.OPEN)
    for altered in (*(token[:n] for n in range(60)), token + "A", token + "=", " " + token):
        with pytest.raises(InvalidTokenError):
            SIGNER.read(altered)


def test_target_is_part_of_what_is_signed() -> None:
    token = SIGNER.sign(REF, TokenKind.CLICK, 1, "https://shop.test/?a=1")
    for other in ("https://evil.test/", "", "https://shop.test/?a=2", "https://shop.test/?a=1 "):
        with pytest.raises(InvalidTokenError):
            SIGNER.read(token, other)
    with pytest.raises(InvalidTokenError):
        SIGNER.read(SIGNER.sign(REF, TokenKind.CLICK, 1), "https://evil.test/")


def altered(count: int) -> Iterator[str]:
    """Genuine tokens with bits turned, cut off, put together, of other keys and companies."""
    draw = Random(43)
    other = TokenSigner(["another secret"])
    for _ in range(count):
        ref = REF._replace(customer_id=draw.randrange(1, 2**63), tenant_id=draw.randrange(1, 9))
        token = SIGNER.sign(ref, draw.choice(list(TokenKind)), draw.randrange(9))
        raw = bytearray(urlsafe_b64decode(token))
        match draw.randrange(6):
            case 0:
                raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
            case 1:
                raw = raw[: draw.randrange(len(raw))]
            case 2:
                raw[0] = draw.choice([number for number in range(256) if number != raw[0]])
            case 3:
                raw[4] ^= draw.randrange(1, 8)
            case 4:
                raw[:24] = urlsafe_b64decode(other.sign(ref, TokenKind.OPEN))[:24]
            case 5:
                raw[-18:] = draw.randbytes(18)
        yield urlsafe_b64encode(raw).decode()


def test_of_100_000_altered_tokens_none_is_accepted_and_all_are_refused_alike() -> None:
    times = []
    for token in altered(100_000):
        began = perf_counter()
        with pytest.raises(InvalidTokenError) as refused:
            SIGNER.read(token)
        times.append(perf_counter() - began)
        assert refused.value.args == InvalidTokenError().args
    assert quantiles(times, n=20)[-1] < 0.005


def test_foreign_installations_and_purposes_are_refused() -> None:
    foreign = TokenSigner(["another secret"])
    with pytest.raises(InvalidTokenError):
        SIGNER.read(foreign.sign(REF, TokenKind.OPEN))
    with pytest.raises(InvalidTokenError):
        SIGNER.read_message_key(foreign.message_key(REF))


def test_keys_rotate_twice() -> None:
    first, second, third = "one", "two", "three"
    token = TokenSigner([first]).sign(REF, TokenKind.UNSUBSCRIBE)
    key = TokenSigner([first]).message_key(REF)
    ring = TokenSigner([third, second, first])
    assert ring.read(token).message == REF
    assert ring.read_message_key(key) == REF
    assert ring.sign(REF, TokenKind.UNSUBSCRIBE) == TokenSigner([third]).sign(
        REF, TokenKind.UNSUBSCRIBE
    )
    with pytest.raises(InvalidTokenError):
        TokenSigner([third, second]).read(token)


def test_tokens_differ_by_kind_link_and_message() -> None:
    other = MessageRef(tenant_id=8, run_id=1, customer_id=1, launched_on=date(2026, 5, 17))
    made = {
        SIGNER.sign(ref, kind, link)
        for ref in (REF, other)
        for kind in TokenKind
        for link in range(9)
    }
    assert len(made) == 2 * len(TokenKind) * 9


@pytest.mark.parametrize("secrets", [[], [""], ["a", ""]])
def test_empty_keys_stop_the_start(secrets: list[str]) -> None:
    with pytest.raises(ConfigurationError):
        TokenSigner(secrets)


def test_urls_hold_token_and_target() -> None:
    urls = UrlMaker("https://t.shop.test/", SIGNER).message(REF)
    assert urls.of(TokenKind.OPEN) == f"https://t.shop.test/o/{SIGNER.sign(REF, TokenKind.OPEN)}"
    fixed = urls.click(2, "")
    assert SIGNER.read(fixed.rpartition("/")[2]).link == 2
    token, _, target = urls.click(2, "https://a.test/?b=c&d").rpartition("/c/")[2].partition("?to=")
    assert target == "https%3A%2F%2Fa.test%2F%3Fb%3Dc%26d"
    assert SIGNER.read(token, "https://a.test/?b=c&d").kind is TokenKind.CLICK


clicks = st.builds(
    ShortClick,
    tenant_id=st.integers(1, 2**14 - 1),
    run_id=st.integers(1, 2**24 - 1),
    customer_id=st.integers(1, 2**29 - 1),
    step=st.integers(0, 7),
    variant=st.integers(0, 15),
    link=st.integers(0, 31),
)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def code_of(signer: TokenSigner, click: ShortClick) -> str | None:
    who = (click.tenant_id, click.run_id, click.customer_id)
    ref = MessageRef(*who, date(2026, 5, 17), click.step, click.variant)
    return signer.message(ref).code(click.link)


@given(clicks)
def test_short_codes_read_back_and_are_all_as_long(click: ShortClick) -> None:
    code = code_of(SIGNER, click)
    assert code is not None
    assert (len(code), SIGNER.read_code(code)) == (LENGTH, click)
    assert set(code) <= set(LETTERS)


@given(clicks, st.sampled_from(ShortClick._fields))
def test_what_has_no_room_in_a_code_gets_the_long_address(click: ShortClick, field: str) -> None:
    widths = {"tenant_id": 14, "run_id": 24, "customer_id": 29, "step": 3, "variant": 4, "link": 5}
    large = click._replace(**{field: 1 << widths[field]})
    if field == "step":
        large = large._replace(variant=0)
    assert code_of(SIGNER, large) is None


def test_every_other_character_of_a_code_is_refused() -> None:
    code = code_of(SIGNER, ShortClick(7, 12345, 98765432, 2, 3, 4)) or ""
    for place in range(LENGTH):
        for other in set(LETTERS) - {code[place]}:
            with pytest.raises(InvalidTokenError):
                SIGNER.read_code(code[:place] + other + code[place + 1 :])


@pytest.mark.parametrize(
    "code", ["", "x" * 19, "x" * 21, "z" * 20, "é" * 20, "0" * 20, "A" * 20 + "\n", "-" * 20]
)
def test_what_is_no_code_is_refused_alike(code: str) -> None:
    with pytest.raises(NotFoundError, match=r"The link is not valid."):
        SIGNER.read_code(code)


def test_guessed_signatures_of_codes_are_refused() -> None:
    draw = Random(7)
    genuine = code_of(SIGNER, ShortClick(1, 2, 3, 1, 1, 0)) or ""
    for _ in range(50_000):
        guess = genuine[:12] + "".join(draw.choices(LETTERS, k=8))
        if guess != genuine:
            with pytest.raises(InvalidTokenError):
                SIGNER.read_code(guess)


def test_codes_of_former_keys_lead_on_and_foreign_ones_nowhere() -> None:
    click = ShortClick(1, 2, 3, 1, 1, 0)
    code = code_of(TokenSigner(["one"]), click) or ""
    assert TokenSigner(["two", "one"]).read_code(code) == click
    for foreign in (TokenSigner(["two"]), SIGNER):
        with pytest.raises(InvalidTokenError):
            foreign.read_code(code)


def test_short_urls_are_short_but_for_targets_of_their_own() -> None:
    ref = REF._replace(customer_id=98765432)
    urls = UrlMaker("https://t.shop.test/", SIGNER, short=True).message(ref)
    assert urls.click(1, "") == f"https://t.shop.test/s/{SIGNER.message(ref).code(1)}"
    assert urls.click(1, "https://a.test/").startswith("https://t.shop.test/c/")
    assert (
        UrlMaker("https://t.test", SIGNER, short=True)
        .message(REF)
        .click(1, "")
        .startswith("https://t.test/c/")
    )
    example = example_urls("https://t.shop.test", ref.tenant_id, ref.customer_id, short=True)
    assert len(example.click(1, "")) == len(urls.click(1, ""))
