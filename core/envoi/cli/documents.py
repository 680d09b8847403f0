"""The settings as documents: the page for operators, and an example of an environment file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import SecretStr

from envoi.settings import Settings

PAGE = """\
# Settings

An installation is set up by environment variables. What a company sets is not here: it is in the
database, see [companies](../administrators/companies.md). `envoi settings` shows the values in
use; a wrong value stops the start and is named.

This page is made by `envoi settings --markdown`.

| Variable | Default | Meaning |
|---|---|---|
"""

EXAMPLE = """\
# Every setting of Envoi with its default, made by `envoi settings --env`.
# Take the # away where you need another value, and give the file to whatever starts Envoi.
"""


@dataclass(frozen=True)
class Setting:
    """A setting as people know it."""

    variable: str
    default: str
    meaning: str


def all_settings() -> Iterator[Setting]:
    """Yield every setting in the order in which they are declared."""
    for name, field in Settings.model_fields.items():
        given = field.default
        plain = given.get_secret_value() if isinstance(given, SecretStr) else str(given)
        plain = "[]" if given == () else plain
        default = plain.lower() if isinstance(given, bool) else plain
        yield Setting(f"ENVOI_{name.upper()}", default, field.description or "")


def markdown() -> str:
    """Return `docs/operators/settings.md`."""
    rows = (
        f"| `{s.variable}` | {f'`{s.default}`' if s.default else 'empty'} | {s.meaning} |\n"
        for s in all_settings()
    )
    return PAGE + "".join(rows)


def example() -> str:
    """Return `.env.example`."""
    return EXAMPLE + "".join(
        f"\n# {s.meaning}\n# {s.variable}={s.default}\n" for s in all_settings()
    )
