"""Every text has a Russian translation, and the compiled file is the one in use."""

from __future__ import annotations

import io

import pytest
from babel.messages import Catalog
from babel.messages.mofile import read_mo, write_mo

from envoi_web import texts

RENEW = "run `python -m envoi_web.texts` and translate what it names"


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_every_text_is_translated(language: str) -> None:
    assert texts.missing(texts.read(language)) == [], RENEW


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_the_compiled_file_is_fresh(language: str) -> None:
    compiled = io.BytesIO()
    write_mo(compiled, texts.read(language))
    compiled.seek(0)
    with texts.po_file(language).with_suffix(".mo").open("rb") as shipped:
        assert _texts(read_mo(shipped)) == _texts(read_mo(compiled)), RENEW


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_placeholders_survive_translation(language: str) -> None:
    translated = [message for message in texts.read(language) if message.string]
    assert [message.id for message in translated if list(message.check())] == []


def _texts(catalog: Catalog) -> dict[str, str]:
    return {str(m.id): str(m.string) for m in catalog if m.id and m.string}
