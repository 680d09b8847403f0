"""Variants side by side, and what can be said about the one that is clicked most."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from envoi.mailings.comparison import Comparison, VariantFigures
from envoi.mailings.statistics import SMALLEST_GROUP
from envoi.webkit.formats import money, number, percent


def letter(variant: int) -> str:
    """What a variant is called: A, B, C."""
    return chr(ord("A") + variant - 1)


def variants(comparison: Comparison) -> dict[str, Any] | None:
    """The table of the variants; None where there is one only."""
    if not comparison.variants:
        return None
    return {
        "rows": [_row(variant, comparison) for variant in comparison.variants],
        "letters": " / ".join(letter(variant.number) for variant in comparison.variants),
        "said": said(comparison),
        "significant": comparison.clicks is not None and comparison.clicks.is_significant,
    }


def said(comparison: Comparison) -> str:
    """Which variant was clicked more often, or that it cannot be told."""
    found = comparison.clicks
    if found is None or comparison.best is None or comparison.second is None:
        return str(
            _(
                "The variants are too small to compare: each needs at least %(count)s customers"
                " who were delivered to.",
                count=SMALLEST_GROUP,
            )
        )
    words = {
        "best": letter(comparison.best),
        "second": letter(comparison.second),
        "points": number(found.value * 100, 1),
        "low": number(found.low * 100, 1),
        "high": number(found.high * 100, 1),
    }
    if found.is_significant:
        return str(
            _(
                "%(best)s was clicked more often than %(second)s: %(points)s percentage points,"
                " between %(low)s and %(high)s with 95 %% confidence.",
                **words,
            )
        )
    return str(
        _(
            "No difference in clicks can be told from chance: %(best)s is %(points)s percentage"
            " points ahead of %(second)s, between %(low)s and %(high)s with 95 %% confidence.",
            **words,
        )
    )


def _row(variant: VariantFigures, comparison: Comparison) -> dict[str, Any]:
    significant = comparison.clicks is not None and comparison.clicks.is_significant
    return {
        "letter": letter(variant.number),
        "subject": variant.subject,
        "recipients": number(variant.recipients),
        "delivered": number(variant.delivered),
        "opened": _rate(variant, variant.opened),
        "clicked": _rate(variant, variant.clicked),
        "ahead": significant and variant.number == comparison.best,
        "receipts": number(variant.receipts),
        "amount": money(variant.amount, unit=False),
    }


def _rate(variant: VariantFigures, count: int) -> tuple[str, str]:
    """The rate with its count below; for a small group the count alone."""
    if not variant.has_rates:
        return number(count), ""
    return percent(count / variant.delivered), number(count)
