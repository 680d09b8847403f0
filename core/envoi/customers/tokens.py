"""Search tokens of customers: the words of their personal details in one normal form."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

LONGEST_TOKEN = 64
_NO_DIGIT = re.compile(r"\D")
_HYPHENS = re.compile(r"[-‐–'’]")

PERSONAL = ("first_name", "middle_name", "last_name", "external_id", "email", "phone")
"""Columns of a customer that can be searched for, in the order `search_tokens` takes them."""


@lru_cache(maxsize=50_000)
def fold(word: str) -> str:
    """Return a word in lower case without accents, cut to the length of a token."""
    if not word.isascii():
        apart = unicodedata.normalize("NFKD", word.casefold())
        word = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return word.lower()[:LONGEST_TOKEN]


def search_tokens(
    first: str, middle: str, last: str, external_id: str, email: str | None, phone: str | None
) -> set[str]:
    """Return what a customer is found by, each as a prefix.

    A double name is found by each half; an email, by its local part too, is found as a whole.
    """
    tokens = {fold(word) for word in external_id.split()}
    for name in (first, middle, last):
        for word in name.split():
            tokens.add(fold(word))
            if not word.isalnum():
                tokens.update(fold(half) for half in _HYPHENS.split(word) if half)
    if email:
        tokens.add(email[:LONGEST_TOKEN])
    if phone:
        tokens.add(_NO_DIGIT.sub("", phone)[:LONGEST_TOKEN])
    tokens.discard("")
    return tokens
