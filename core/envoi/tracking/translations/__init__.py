"""Texts of the public pages in the company's language, read from the `.po` files as they are."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

LANGUAGES = ("en", "ru")
"""The first is the one the source texts are written in."""


@cache
def translations(language: str) -> NullTranslations:
    """The texts of one of `LANGUAGES`."""
    path = Path(__file__).with_name(f"{language}.po")
    if not path.exists():
        return NullTranslations()
    compiled = BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return Translations(compiled)
