"""Every error Envoi raises on purpose, as one tree.

A message says what happened, why, and what to do next: it is shown to people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


class EnvoiError(Exception):
    """The root: whatever is not below it is a bug."""


class ConfigurationError(EnvoiError):
    """The installation is set up wrongly; stops the start, never caught on the send path."""


class NotFoundError(EnvoiError):
    """The thing does not exist, or belongs to another tenant, which is the same to the caller."""


class ForbiddenError(EnvoiError):
    """The employee's role does not include the permission that the action needs."""


class ConflictError(EnvoiError):
    """The thing has changed since the caller looked, or its state does not allow the action."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the input: the field it concerns (dotted path) and a sentence."""

    field: str
    message: str


class ValidationFailedError(EnvoiError):
    """Input was refused; carries every problem found, so that a person sees all at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(
            "; ".join(f"{p.field}: {p.message}" if p.field else p.message for p in problems)
        )
        self.problems = tuple(problems)


def problems_of(error: ValidationError, *path: str) -> list[Problem]:
    """Turn what a model found into problems for people; `path` leads to the model."""
    return [
        Problem(".".join(map(str, (*path, *found["loc"]))), sentence_of(found))
        for found in error.errors()
    ]


def sentence_of(found: ErrorDetails) -> str:
    """Say one error of a model in our own words, which are translated; a rule's own stay."""
    kind, values = found["type"], found.get("ctx", {})
    if values.get("min_length") == 1:
        kind = "missing"
    said = _OF_MODELS.get(kind) or _OF_MODELS.get(kind.split("_")[0])
    limits = [values[name] for name in _LIMITS if name in values]
    if said is None or not all(isinstance(limit, int | float) for limit in limits):
        return found["msg"].removeprefix("Value error, ")
    return said.format(count=f"{limits[0]:,}".removesuffix(".0") if limits else "")


NO_TIME = "Enter a time from 00:00 to 23:59, such as 09:30."
_LIMITS = ("max_length", "min_length", "gt", "ge", "lt", "le")
_OF_MODELS = {
    "missing": "This is not filled in. Enter a value.",
    "none": "This has to stay empty.",
    "extra": "There is no such setting. Remove it.",
    "string_too_long": "At most {count} characters fit. Shorten the text.",
    "string_too_short": "At least {count} characters are needed. Enter more.",
    "string_pattern_mismatch": "This is not written as it should be. Correct it.",
    "string": "Enter a text.",
    "too_long": "At most {count} entries fit. Remove some.",
    "too_short": "At least {count} entries are needed. Add some.",
    "greater_than": "Enter a number above {count}.",
    "greater_than_equal": "Enter a number from {count}.",
    "less_than": "Enter a number below {count}.",
    "less_than_equal": "Enter a number up to {count}.",
    "int": "Enter a whole number.",
    "float": "Enter a number.",
    "finite": "Enter a number.",
    "bool": "Choose yes or no.",
    "date": "Enter a date, such as 2026-11-24.",
    "time": NO_TIME,
    "enum": "This is none of the offered values. Choose one of them.",
    "literal": "This is none of the offered values. Choose one of them.",
}
"""What a model's error of a kind, or of a family of kinds, means to a person."""


class TemplateError(ValidationFailedError):
    """A message template cannot be used; `line` counts from 1 where it is known."""

    def __init__(self, message: str, *, field: str = "body", line: int | None = None) -> None:
        where = f"Line {line}: {message}" if line else message
        super().__init__([Problem(field, where)])
        self.line = line


class PluginError(EnvoiError):
    """A plugin broke its contract; names the distribution at fault.

    `place` says what it was asked, e.g. `provider smtp`; empty where it was not even called.
    """

    def __init__(self, plugin: str, message: str, *, place: str = "") -> None:
        super().__init__(f"Plugin {plugin}: {message}")
        self.plugin = plugin
        self.place = place


class NotIssuedError(EnvoiError):
    """A macro has nothing to give; the mailing pauses, and nothing of it was taken."""


class UnsupportedFeatureError(EnvoiError):
    """The provider cannot express the content, so it was refused here, before sending."""


class ForgedWebhookError(EnvoiError):
    """A request to a webhook is not the provider's; answered with HTTP 401, nothing is kept."""


class ProviderError(EnvoiError):
    """A provider as a whole could not take messages; `raw` is its own answer.

    Raised by connections for trouble that is not the fault of one message (refused login,
    no connection, throttling): no attempt of any message is burned. What concerns one
    message is a `SendResult`, not an exception.
    """

    def __init__(self, message: str, *, raw: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.raw = raw
        self.retry_after = retry_after


class TemporaryProviderError(ProviderError):
    """Try again after `retry_after` seconds (or when the core sees fit)."""


class UnansweredError(EnvoiError):
    """A request has left and no complete answer came: what it asked for may have been done."""


class PermanentProviderError(ProviderError):
    """Will not work without a person: wrong password, unknown host, blocked account."""
