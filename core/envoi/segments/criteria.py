"""Checks a condition's settings against the criteria of its source, and says it in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import isfinite
from typing import Any

from envoi.errors import Problem, ValidationFailedError
from envoi.plugins import Plugins, fence
from envoi.segments.tree import Condition, Group, Match, Node, child_path
from envoi.types import (
    Catalogue,
    Criterion,
    Input,
    InputKind,
    Operator,
    SegmentSourceSpec,
    Suggestions,
)

_LONGEST_TEXT = 1000
_LONGEST_LIST = 10_000
_LARGEST = 2_000_000_000
_YEARS = range(1900, 2200)
_NAMED = 5
"""How many values of a list a sentence names."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A condition whose settings are complete and typed, with what it is made of."""

    spec: SegmentSourceSpec
    settings: Mapping[str, Any]
    criterion: Criterion | None = None
    operator: Operator | None = None


def criteria_of(
    plugins: Plugins, spec: SegmentSourceSpec, catalogue: Catalogue
) -> Sequence[Criterion]:
    """List what a source offers to this tenant; nothing when it is used by JSON only."""
    if spec.criteria is None:
        return ()
    offer = spec.criteria
    found: Sequence[Criterion] = fence(
        plugins, "segment source", spec.name, lambda: tuple(offer(catalogue))
    )
    return found


def check(condition: Condition, catalogue: Catalogue, plugins: Plugins, path: str) -> Checked:
    """Check one condition; raise `ValidationFailedError` with every problem found."""
    spec = plugins.segment_sources.get(condition.source)
    if spec is None:
        raise _broken(path, f"The segment uses the source {condition.source}, which is not on.")
    offered = criteria_of(plugins, spec, catalogue)
    if spec.criteria is None:
        return Checked(spec=spec, settings=condition.settings)
    criterion = _criterion(offered, condition.settings, spec, path)
    operator = _operator(criterion, condition.settings, path)
    fields = [*operator.inputs, *criterion.inputs]
    settings = {"criterion": criterion.name, "operator": operator.name}
    settings |= _values(fields, condition.settings, path)
    return Checked(spec=spec, settings=settings, criterion=criterion, operator=operator)


def normalised(node: Node, catalogue: Catalogue, plugins: Plugins, path: str = "") -> Node:
    """Return a tree with its settings as they are stored: complete, typed, in one order."""
    if isinstance(node, Condition):
        return Condition(node.source, check(node, catalogue, plugins, path).settings)
    children = (
        normalised(child, catalogue, plugins, child_path(path, node.match, number))
        for number, child in enumerate(node.nodes)
    )
    return Group(node.match, tuple(children))


def _criterion(
    offered: Sequence[Criterion], settings: Mapping[str, Any], spec: SegmentSourceSpec, path: str
) -> Criterion:
    name = settings.get("criterion", offered[0].name if len(offered) == 1 else None)
    for criterion in offered:
        if criterion.name == name:
            return criterion
    what = f"{spec.label.lower()} {name}"
    raise _broken(
        path,
        f"The segment uses the {what}, which was deleted or never existed."
        " Remove the condition or choose another.",
    )


def _operator(criterion: Criterion, settings: Mapping[str, Any], path: str) -> Operator:
    name = settings.get("operator", criterion.operators[0].name)
    for operator in criterion.operators:
        if operator.name == name:
            return operator
    known = ", ".join(operator.name for operator in criterion.operators)
    raise _broken(f"{path}.settings.operator", f"{criterion.label} is compared by one of: {known}.")


def _broken(path: str, message: str) -> ValidationFailedError:
    return ValidationFailedError([Problem(path, message)])


def _values(fields: Sequence[Input], settings: Mapping[str, Any], path: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    known = {field.name for field in fields} | {"criterion", "operator"}
    problems += [
        Problem(f"{path}.settings.{name}", f"There is no setting {name} here.")
        for name in settings.keys() - known
    ]
    for field in fields:
        try:
            value = _value(field, settings.get(field.name))
        except ValueError as error:
            problems.append(Problem(f"{path}.settings.{field.name}", str(error)))
            continue
        if value is not None:
            values[field.name] = value
    if problems:
        raise ValidationFailedError(problems)
    return values


def _value(field: Input, raw: Any) -> Any:
    """Turn what a form or a JSON document holds into the value that is stored."""
    if isinstance(raw, str):
        raw = raw.strip()
    if raw is None or raw in ("", []):
        if field.required:
            raise ValueError(_MISSING[field.kind])
        return None
    if field.kind is InputKind.CHOICE:
        return _choice(field, raw)
    if field.kind is InputKind.CHOICES:
        return _choices(field, raw if isinstance(raw, list) else [raw])
    return _READERS[field.kind](raw)


_MISSING = {
    InputKind.TEXT: "Enter a text.",
    InputKind.TEXTS: "Enter at least one value.",
    InputKind.NUMBER: "Enter a number.",
    InputKind.WHOLE: "Enter a whole number.",
    InputKind.DATE: "Enter a date.",
    InputKind.CHOICE: "Choose a value.",
    InputKind.CHOICES: "Choose at least one value.",
}


def _text(raw: Any) -> str:
    if not isinstance(raw, str | int | float) or "\0" in str(raw):
        raise ValueError("Enter a text.")
    if len(str(raw)) > _LONGEST_TEXT:
        raise ValueError(f"Enter at most {_LONGEST_TEXT} characters.")
    return str(raw)


def _texts(raw: Any) -> list[str]:
    parts = raw.replace("\n", ",").split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, list):
        raise ValueError("Enter values with commas between them.")
    values = list(dict.fromkeys(t for part in parts if (t := _text(part).strip())))
    if not values:
        raise ValueError(_MISSING[InputKind.TEXTS])
    if len(values) > _LONGEST_LIST:
        raise ValueError(f"Enter at most {_LONGEST_LIST} values.")
    return values


def _number(raw: Any) -> float:
    text = "".join(raw.split()).replace("−", "-") if isinstance(raw, str) else raw
    if isinstance(text, str) and "." not in text:
        text = text.replace(",", ".")
    try:
        number = float(text)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if isinstance(raw, bool) or not isfinite(number) or abs(number) > _LARGEST * 1000:
        raise ValueError("Enter a number, such as 12 or 0.5.")
    return int(number) if number.is_integer() else number


def _whole(raw: Any) -> int:
    number = _number(raw)
    if not isinstance(number, int) or not 0 <= number <= _LARGEST:
        raise ValueError("Enter a whole number from 0.")
    return number


def _date(raw: Any) -> str:
    try:
        found = date.fromisoformat(raw)
    except (TypeError, ValueError):
        raise ValueError("Enter a date, such as 2026-11-24.") from None
    if not _YEARS.start <= found.year < _YEARS.stop:
        raise ValueError(f"Enter a date from {_YEARS.start} to {_YEARS.stop - 1}.")
    return found.isoformat()


def _choice(field: Input, raw: Any) -> str:
    value = str(raw)
    if value not in {choice.value for choice in field.choices}:
        raise ValueError(
            f"The segment uses the {field.label.lower()} {value}, which was deleted or never"
            " existed. Choose another."
        )
    return value


def _choices(field: Input, raw: list[Any]) -> list[str]:
    found = list(dict.fromkeys(_choice(field, one) for one in raw if one != ""))
    if not found and field.required:
        raise ValueError(_MISSING[InputKind.CHOICES])
    return found


_READERS: Mapping[InputKind, Callable[[Any], Any]] = {
    InputKind.TEXT: _text,
    InputKind.TEXTS: _texts,
    InputKind.NUMBER: _number,
    InputKind.WHOLE: _whole,
    InputKind.DATE: _date,
}


_JOINTS = {Match.ALL: "{a} and {b}", Match.ANY: "{a} or {b}", Match.NONE: "{a} or {b}"}
INCOMPLETE = "a condition that is not complete"


@dataclass(frozen=True, kw_only=True)
class Words:
    """How texts, numbers and dates are said in a language."""

    text: Callable[[str], str] = str
    number: Callable[[float], str] = str
    day: Callable[[date], str] = str
    products: Callable[[Sequence[str]], Mapping[str, str]] = lambda _codes: {}
    """The names of products by their codes, of those that are known."""


def in_words(
    node: Node,
    catalogue: Catalogue,
    plugins: Plugins,
    translate: Callable[[str], str] = str,
    words: Words | None = None,
) -> str:
    """Say a tree in words; a condition that cannot be read is said to be incomplete."""
    return _Sentence(catalogue, plugins, words or Words(text=translate)).say(node, top=True)


@dataclass(frozen=True)
class _Sentence:
    catalogue: Catalogue
    plugins: Plugins
    words: Words

    def say(self, node: Node, *, top: bool = False) -> str:
        if isinstance(node, Condition):
            return self._condition(node)
        parts = [self.say(child) for child in node.nodes]
        text = parts[0] if parts else ""
        for part in parts[1:]:
            text = self.words.text(_JOINTS[node.match]).format(a=text, b=part)
        if node.match is Match.NONE:
            return self.words.text("not ({conditions})").format(conditions=text)
        return text if top or len(parts) == 1 else f"({text})"

    def _condition(self, condition: Condition) -> str:
        try:
            checked = check(condition, self.catalogue, self.plugins, "")
        except ValidationFailedError:
            return self.words.text(INCOMPLETE)
        if checked.criterion is None or checked.operator is None:
            return self.words.text(checked.spec.label)
        fields = (*checked.operator.inputs, *checked.criterion.inputs)
        shown = {f.name: self._shown(f, checked.settings.get(f.name)) for f in fields}
        said = [
            self.words.text(checked.criterion.label),
            self.words.text(checked.operator.phrase).format(**shown)
            if checked.operator.phrase
            else "",
        ]
        for period in checked.criterion.inputs:
            if period.name in checked.settings:
                said += [self.words.text(period.before), shown[period.name]]
        return " ".join(part for part in said if part)

    def _shown(self, field: Input, value: Any) -> str:
        if value is None:
            return ""
        said = self._value(field, value)
        return f"{said} {self.words.text(field.after)}" if field.after else said

    def _value(self, field: Input, value: Any) -> str:
        if field.kind is InputKind.CHOICE:
            return self._labels(field, [value])[0]
        if field.kind is InputKind.CHOICES:
            return _first_of(self._labels(field, value))
        if field.kind is InputKind.TEXTS:
            return _first_of(self._named(field, value))
        if field.kind is InputKind.DATE:
            return self.words.day(date.fromisoformat(value))
        if field.kind in {InputKind.NUMBER, InputKind.WHOLE}:
            return self.words.number(value)
        return str(value)

    def _named(self, field: Input, codes: Sequence[str]) -> Sequence[str]:
        """The names of codes; of those only that a sentence has room for."""
        if field.suggestions is not Suggestions.PRODUCTS:
            return codes
        names = self.words.products(codes[:_NAMED])
        return [names.get(code) or code for code in codes]

    def _labels(self, field: Input, values: Sequence[str]) -> list[str]:
        labels = {choice.value: choice.label for choice in field.choices}
        return [self.words.text(labels[value]) for value in values]


def _first_of(values: Sequence[str]) -> str:
    rest = len(values) - _NAMED
    return ", ".join(values[:_NAMED]) + (f" (+{rest})" if rest > 0 else "")
