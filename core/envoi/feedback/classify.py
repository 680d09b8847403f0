"""Judges a refusal: by its status first, then its code, then its words."""

from __future__ import annotations

import re

from envoi.feedback.rules import RULES, UNCLASSIFIED, Judgement

_STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]\d)")
_CODE = re.compile(r"(?<![\d.])([45]\d\d)(?=[ #:-])")
_LONGEST_TEXT = 4_000


def judge(status: str, code: int, text: str) -> Judgement:
    """Say whom a refusal blames and why.

    Args:
        status: The enhanced status such as 5.1.1; one that says nothing (5.0.0) or an empty
            one is looked for in the text.
        code: The three-digit code, or 0 to look for it in the text.
        text: The server's own words.
    """
    text = text[:_LONGEST_TEXT]
    status, code = details(status, code, text)
    return next((r.judgement for r in RULES if r.fits(status, code, text)), UNCLASSIFIED)


def details(status: str, code: int, text: str) -> tuple[str, int]:
    """Complete status and code from the server's words."""
    if not says_something(status):
        found = (".".join(match.groups()) for match in _STATUS.finditer(text))
        status = next(filter(says_something, found), status)
    if not code and (match := _CODE.search(text)):
        code = int(match[1])
    return status, code


def says_something(status: str) -> bool:
    """Whether a status names a kind of failure: 5.0.0 and 5.x.0 do not, 5.7.0 does."""
    _, _, rest = status.partition(".")
    subject, _, detail = rest.partition(".")
    return bool(status) and subject != "0" and (detail != "0" or subject == "7")
