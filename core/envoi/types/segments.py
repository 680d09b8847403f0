"""Conditions that segments are built from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from envoi.types.base import Descriptor

if TYPE_CHECKING:
    from envoi.sql import Membership, SourceColumns


class InputKind(StrEnum):
    """What a person may enter in one field of a condition."""

    TEXT = "text"
    TEXTS = "texts"
    """Several texts, one of which may fit."""
    NUMBER = "number"
    WHOLE = "whole"
    """A whole number from 0."""
    DATE = "date"
    CHOICE = "choice"
    CHOICES = "choices"
    """Several of the offered values, one of which may fit."""


class Suggestions(StrEnum):
    """What pages suggest while a person types a text; what is stored is the code of each."""

    PRODUCTS = "products"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of the values that a field offers; `value` is stored, `label` is shown."""

    value: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Input:
    """A field of a condition; `name` is the key in the condition's settings.

    `before` and `after` are the words around the field ("in the last", "days").
    """

    name: str
    label: str
    kind: InputKind
    choices: tuple[Choice, ...] = ()
    required: bool = True
    before: str = ""
    after: str = ""
    suggestions: Suggestions | None = None


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One way to compare a criterion's value, e.g. `in_last`, with the fields it needs.

    `phrase` says it in words, with the names of the inputs in braces:
    "in the last {days} days".
    """

    name: str
    label: str
    phrase: str
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """What a condition is about, e.g. the city: the builder's list is made of these.

    A condition's settings name it as `criterion`, the comparison as `operator`, and hold the
    values of the operator's inputs and of the criterion's own (all optional: a period).
    """

    name: str
    label: str
    operators: tuple[Operator, ...]
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CustomFieldInfo:
    """A custom attribute of the tenant's customers.

    `type` is text, number, date, yes_no (stored as the number 0 or 1) or choice (stored as a
    text out of `choices`).
    """

    id: int
    code: str
    label: str
    type: str
    choices: tuple[str, ...] = ()
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What of a tenant decides which conditions there are; names by number, channels by name.

    `mailings` are those that were launched, the newest first; `categories` are of mailings,
    `product_categories` of products.
    """

    fields: Mapping[str, CustomFieldInfo] = field(default_factory=dict)
    segments: Mapping[int, str] = field(default_factory=dict)
    audiences: Mapping[int, str] = field(default_factory=dict)
    mailings: Mapping[int, str] = field(default_factory=dict)
    channels: Mapping[str, str] = field(default_factory=dict)
    categories: Mapping[int, str] = field(default_factory=dict)
    product_categories: tuple[str, ...] = ()
    currency: str = ""


@dataclass(frozen=True, kw_only=True)
class SegmentSourceSpec(Descriptor):
    """A source of segment membership: a piece of SQL, or external ids that are materialised.

    Exactly one of `select` and `iter_external_ids` is given. Both get the condition's
    settings; `select` also gets `SourceColumns` and returns a `Membership` (see `envoi.sql`);
    `iter_external_ids` yields external ids of the tenant's customers, in any order, repeated
    or unknown ones are ignored.

    With `criteria` the core checks the operator and the inputs before it calls the source,
    the builder shows them, and the condition in words is made of their phrases. A source
    without criteria is usable as JSON, checked by `settings` alone.
    """

    settings: type[BaseModel]
    select: Callable[[Any, SourceColumns], Membership] | None = None
    iter_external_ids: Callable[[Any], Iterator[str]] | None = None
    criteria: Callable[[Catalogue], Sequence[Criterion]] | None = None
    order: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.select is None) == (self.iter_external_ids is None):
            raise ValueError(f"{self.name} must give either select or iter_external_ids")
