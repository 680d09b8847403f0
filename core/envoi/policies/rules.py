"""A policy's rules: checked against their kinds' settings, and put together into one verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from sqlalchemy import ColumnElement, DateTime, Text, case, cast, func, literal, null, or_

from envoi.errors import PluginError, Problem, ValidationFailedError, problems_of
from envoi.plugins import Plugins, accuse, fence
from envoi.sql import RuleColumns
from envoi.types import NeedRequest, Rule, RuleKindSpec

_KIND = "rule kind"


@dataclass(frozen=True)
class BoundRule:
    """A rule kind together with the settings of one line of a policy."""

    kind: RuleKindSpec
    settings: BaseModel
    needs: tuple[NeedRequest, ...]


@dataclass(frozen=True)
class Verdict:
    """All rules in one: block beats defer, the latest deferral wins, the first reason is told."""

    blocked: ColumnElement[bool]
    reason: ColumnElement[Any]
    deferred_until: ColumnElement[Any]
    may_defer: bool


def check_rules(plugins: Plugins, rules: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rules as they are stored; raise `ValidationFailedError` with every problem."""
    problems: list[Problem] = []
    checked = []
    for number, rule in enumerate(rules):
        kind = plugins.rule_kinds.get(str(rule.get("kind", "")))
        if kind is None:
            problems.append(
                Problem(f"rules.{number}.kind", "This kind of rule is not enabled for the company.")
            )
            continue
        try:
            settings = kind.settings.model_validate(rule.get("settings", {}))
        except ValidationError as error:
            problems += problems_of(error, "rules", str(number))
            continue
        checked.append({"kind": kind.name, "settings": settings.model_dump(mode="json")})
    if problems:
        raise ValidationFailedError(problems)
    return checked


def bind_rules(plugins: Plugins, rules: Iterable[Mapping[str, Any]]) -> list[BoundRule]:
    """Read stored rules; raise `PluginError` for one whose plugin is gone or has changed."""
    return [_bind(plugins, str(rule["kind"]), rule.get("settings", {})) for rule in rules]


def describe_rules(plugins: Plugins, rules: Iterable[Mapping[str, Any]]) -> list[str]:
    """Say each rule in words; one that cannot be read says so."""
    sentences = []
    for rule in rules:
        try:
            bound = _bind(plugins, str(rule["kind"]), rule.get("settings", {}))
            describe = bound.kind.describe
            sentences.append(str(_fenced(plugins, bound.kind, describe, bound.settings)))
        except PluginError as error:
            sentences.append(str(error))
    return sentences


def reason_words(plugins: Plugins, code: str) -> str:
    """Return the sentence for a stored reason, or the code when its plugin is gone."""
    for kind in plugins.rule_kinds.values():
        if code in kind.reasons:
            return kind.reasons[code]
    return code


def judge(plugins: Plugins, rules: Sequence[BoundRule], columns: RuleColumns) -> Verdict:
    """Put the rules together; each is asked for its expressions once."""
    answers = [_answer(plugins, bound, columns) for bound in rules]
    blocking = [(a.blocked, literal(a.reason, Text)) for a in answers if a.blocked is not None]
    defers = [
        (a.deferred_until, literal(a.reason, Text)) for a in answers if a.deferred_until is not None
    ]
    reasons = blocking + [(until.is_not(None), reason) for until, reason in defers]
    until = [moment for moment, _ in defers]
    return Verdict(
        # A condition over a missing value is neither true nor false and blocks nobody.
        blocked=func.coalesce(or_(*[b for b, _ in blocking]), False)
        if blocking
        else literal(False),
        reason=case(*reasons) if reasons else cast(null(), Text),
        deferred_until=func.greatest(*until) if until else cast(null(), DateTime(timezone=True)),
        may_defer=bool(defers),
    )


def owners(plugins: Plugins, rules: Iterable[Mapping[str, Any]]) -> str:
    """Name the plugins behind these rules, for an error that the database reports."""
    names = {plugins.owners.get((_KIND, str(r["kind"])), str(r["kind"])) for r in rules}
    return ", ".join(sorted(names))


def _bind(plugins: Plugins, name: str, settings: Any) -> BoundRule:
    kind = plugins.rule_kinds.get(name)
    if kind is None:
        raise PluginError(
            name,
            "this kind of rule is not installed or not enabled. Enable its plugin, or take the"
            " rule out of the policy.",
        )
    read = _fenced(plugins, kind, kind.settings.model_validate, settings)
    return BoundRule(kind, read, tuple(_fenced(plugins, kind, kind.needs, read)))


def _answer(plugins: Plugins, bound: BoundRule, columns: RuleColumns) -> Rule:
    answer = _fenced(plugins, bound.kind, bound.kind.rule, bound.settings, columns)
    if not isinstance(answer, Rule) or answer.reason not in bound.kind.reasons:
        raise accuse(plugins, _KIND, bound.kind.name, "must return a Rule with one of its reasons")
    return answer


def _fenced(plugins: Plugins, kind: RuleKindSpec, call: Any, *arguments: Any) -> Any:
    return fence(plugins, _KIND, kind.name, lambda: call(*arguments))
