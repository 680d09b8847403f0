"""What is written to the log: form, context, and what must never be in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from structlog.contextvars import bound_contextvars, clear_contextvars

from envoi.logs import ADDRESS, HIDDEN, configure_logs, hide, masked
from envoi.settings import Settings

LETTERS = st.text("abcxyzäöüжщ0189._+-%'", min_size=1, max_size=12)
DOMAINS = st.from_regex(r"[a-z][a-z0-9-]{0,9}(\.[a-z][a-z0-9]{1,5}){1,2}", fullmatch=True)
SECRET = "correct horse battery"

Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """What was logged in JSON since the last time."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    structlog.reset_defaults()
    clear_contextvars()
    logging.root.handlers[:], logging.root.level = handlers, level


def test_a_line_says_what_it_is_about(lines: Lines) -> None:
    configure_logs("json")
    with bound_contextvars(tenant=7, run=12, block=None):
        structlog.get_logger().warning("gateway_failed", message=44)
    [line] = lines()
    assert line.pop("timestamp")
    expected = {"tenant": 7, "run": 12, "message": 44, "event": "gateway_failed"}
    assert line == {**expected, "level": "warning"}


@given(LETTERS, DOMAINS, st.sampled_from(["{}", "<{}>", "to={}, next", "('{}',)", "mailto:{}?a"]))
def test_no_address_passes(local: str, domain: str, place: str) -> None:
    address = f"{local}@{domain}"
    said = masked(place.format(address))
    assert address not in said
    assert f"@{domain}" not in said
    assert ADDRESS in said


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("postgresql://envoi:s3cret@localhost:5432/envoi", "localhost:5432/envoi"),
        ("duplicate key\nDETAIL:  Key (email)=(Ben Hur) already exists.", "duplicate key"),
        ("call +49 (30) 123-45 67 now", "now"),
        ('550 "a b"@shop.example unknown', "unknown"),
    ],
)
def test_what_servers_quote_is_taken_out(said: str, kept: str) -> None:
    found = masked(said)
    assert kept in found
    for secret in ("s3cret", "Ben Hur", "123-45", "shop.example"):
        assert secret not in found


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_providers_words_stay_in_their_line(
    lines: Lines, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """Neither a new line nor what moves the cursor of whoever looks on."""
    configure_logs(form)
    said = "550\x1b[2J\x9b2K\u202etxet\u2066\r\n2026-11-22 [info] all_is_well\x07"
    structlog.get_logger().warning("gateway_failed", error=said)
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert "gateway_failed" in written
    assert not set(written) & set("\x1b\x9b\u202e\u2066\r\x07")


def test_ordinary_words_stay() -> None:
    said = "2026-11-22T09:07:00+00:00: 1,234 messages of run 12 @ 50/s, 10.0.0.1:25, a_b.c"
    assert masked(said) == said


def test_secrets_that_are_known_stay_out(lines: Lines) -> None:
    configure_logs("json")
    hide(SECRET, "ab")
    try:
        raise ValueError(f"{SECRET} was refused for anna@shop.example")
    except ValueError:
        structlog.get_logger().exception(
            "failed", given=[{"password": SECRET}], error=ValueError(SECRET), short="ab"
        )
    logging.getLogger("a library").error("said %s", SECRET)
    first, second = lines()
    for text in map(str, (first, second)):
        assert SECRET not in text
        assert "anna@" not in text
        assert HIDDEN in text
    assert "Traceback" in str(first["exception"])
    assert first["short"] == "ab"
    assert second["logger"] == "a library"


def test_every_secret_of_the_settings_is_known() -> None:
    settings = Settings(
        database_url=SecretStr("postgresql://envoi:pass%20word@db/envoi"),
        secret_key=SecretStr("k" * 32),
        former_secret_keys=(SecretStr("f" * 32),),
        metrics_token=SecretStr("a token to scrape"),
    )
    assert {"pass word", "k" * 32, "f" * 32, "a token to scrape"} <= set(settings.secrets())


def test_people_read_text(capsys: pytest.CaptureFixture[str]) -> None:
    handlers, level = logging.root.handlers[:], logging.root.level
    configure_logs("text")
    structlog.get_logger().info("launched", to="anna@shop.example")
    structlog.reset_defaults()
    logging.root.handlers[:], logging.root.level = handlers, level
    said = capsys.readouterr().err
    assert "launched" in said
    assert "anna@" not in said
    assert not said.startswith("{")
