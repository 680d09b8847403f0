"""Every error Envoi raises on purpose, as one tree.

A message says what happened, why, and what to do next: it is shown to people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


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
        Problem(".".join(map(str, (*path, *e["loc"]))), e["msg"].removeprefix("Value error, "))
        for e in error.errors()
    ]


class TemplateError(ValidationFailedError):
    """A message template cannot be used; `line` counts from 1 where it is known."""

    def __init__(self, message: str, *, field: str = "body", line: int | None = None) -> None:
        where = f"Line {line}: {message}" if line else message
        super().__init__([Problem(field, where)])
        self.line = line


class PluginError(EnvoiError):
    """A plugin broke its contract; names the distribution at fault."""

    def __init__(self, plugin: str, message: str) -> None:
        super().__init__(f"Plugin {plugin}: {message}")
        self.plugin = plugin


class UnsupportedFeatureError(EnvoiError):
    """The provider cannot express the content, so it was refused here, before sending."""


class WebhookRejectedError(EnvoiError):
    """A webhook's signature or form was wrong; answered with HTTP 400."""


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


class PermanentProviderError(ProviderError):
    """Will not work without a person: wrong password, unknown host, blocked account."""
