"""What the builder's template is given: groups and conditions with their fields and problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext
from sqlalchemy.orm import Session

from envoi.customers.search import product_names
from envoi.plugins import Plugins
from envoi.segments.criteria import criteria_of
from envoi.segments.tree import MAX_DEPTH_OF_BUILDER
from envoi.types import Catalogue, Criterion, Input, InputKind, Operator, Suggestions
from envoi.webkit import current
from envoi_web.conditions import Say, sayer
from envoi_web.segments.draft import ROOT, Draft, json_of, match_of

_MOST_TAGS = 100
"""How many products are looked up by their names; a long list is shown by its codes."""

Options = Sequence[tuple[str, str]]
Choices = Sequence[tuple[str, Options]]


@dataclass(frozen=True, kw_only=True)
class ShownInput:
    """A field of a condition; `name` is its name in the form and its id."""

    name: str
    kind: str
    label: str
    before: str
    after: str
    value: str
    chosen: Sequence[str]
    """What of the options is chosen, where that may be several."""
    options: Options
    error: str
    required: bool
    tags: Mapping[str, str] | None = None
    """What products are called, by their codes, where products are to be entered."""

    @property
    def given(self) -> bool:
        """Whether there is something in it to be seen: a value or a problem."""
        return bool(self.value or self.error or any(self.chosen))


@dataclass(frozen=True, kw_only=True)
class ShownCondition:
    """A condition; `broken` says why it cannot be edited here, `json` is what it holds then."""

    place: str
    title: str
    source: str
    criterion: str
    operator: str
    operators: Options
    inputs: Sequence[ShownInput]
    period: Sequence[ShownInput]
    fields: str
    first: bool
    last: bool
    can_wrap: bool
    error: str
    count: str
    json: str = ""


@dataclass(frozen=True, kw_only=True)
class ShownGroup:
    """A group with what is in it; at the deepest level there is no further group."""

    place: str
    level: int
    match: str
    nodes: Sequence[ShownGroup | ShownCondition]
    first: bool
    last: bool
    can_nest: bool
    error: str
    count: str


@dataclass(frozen=True)
class Builder:
    """Makes the shown tree of a draft for one tenant, while its session is open."""

    session: Session
    catalogue: Catalogue
    plugins: Plugins
    errors: Mapping[str, str]
    counts: Mapping[str, str]
    """How many customers each node holds for, by its place."""

    @property
    def say(self) -> Say:
        """What says a tree in words."""
        return sayer(self.session, self.catalogue, self.plugins)

    def tree(self, draft: Draft) -> ShownGroup:
        """Show the whole draft."""
        return self._group(draft, ROOT, 1, 0, 1)

    def choices(self) -> Choices:
        """The criteria that a condition can be added with, by source."""
        found = []
        for spec in self.plugins.segment_sources.values():
            offered = criteria_of(self.plugins, spec, self.catalogue)
            options = [(f"{spec.name}:{c.name}", gettext(c.label)) for c in offered]
            if options:
                found.append((gettext(spec.label), options))
        return found

    def settled(self, node: Draft) -> Draft:
        """Keep of each condition what its operator knows; a text goes over to a list and back."""
        match = match_of(node)
        if match:
            return {match: [self.settled(child) for child in node[match]]}
        settings = node["settings"]
        criterion = self._criterion(str(node["source"]), settings)
        if criterion is None:
            return node
        operator = _chosen(criterion, settings)
        kept = {"criterion": criterion.name, "operator": operator.name}
        typed = settings.get("value") or settings.get("values") or ""
        for field in (*operator.inputs, *criterion.inputs):
            compared = field in operator.inputs and field.kind in (InputKind.TEXT, InputKind.TEXTS)
            other = typed if compared else ""
            given = settings.get(field.name)
            kept[field.name] = other if given in (None, "") else given
        return {"source": node["source"], "settings": kept}

    def _group(self, node: Draft, place: str, level: int, at: int, of: int) -> ShownGroup:
        match = match_of(node)
        children = node[match]
        return ShownGroup(
            place=place,
            level=level,
            match=match,
            nodes=[
                self._node(child, f"{place}.{number}", level, number, len(children))
                for number, child in enumerate(children)
            ],
            first=at == 0,
            last=at == of - 1,
            can_nest=level < MAX_DEPTH_OF_BUILDER,
            error=self.errors.get(place, ""),
            count=self.counts.get(place, ""),
        )

    def _node(
        self, node: Draft, place: str, level: int, at: int, of: int
    ) -> ShownGroup | ShownCondition:
        if match_of(node):
            return self._group(node, place, level + 1, at, of)
        settings, source = node["settings"], str(node["source"])
        criterion = self._criterion(source, settings)
        shared: dict[str, Any] = {
            "place": place,
            "source": source,
            "first": at == 0,
            "last": at == of - 1,
            "can_wrap": level < MAX_DEPTH_OF_BUILDER,
            "error": self.errors.get(place, "") or self.errors.get(f"{place}.operator", ""),
            "count": self.counts.get(place, ""),
        }
        return self._condition(criterion, settings, shared) if criterion else _raw(settings, shared)

    def _criterion(self, source: str, settings: Mapping[str, Any]) -> Criterion | None:
        spec = self.plugins.segment_sources.get(source)
        offered = criteria_of(self.plugins, spec, self.catalogue) if spec else ()
        wanted = settings.get("criterion", offered[0].name if len(offered) == 1 else "")
        return next((c for c in offered if c.name == wanted), None)

    def _condition(
        self, criterion: Criterion, settings: Mapping[str, Any], shared: dict[str, Any]
    ) -> ShownCondition:
        operator = _chosen(criterion, settings)
        fields = (*operator.inputs, *criterion.inputs)
        return ShownCondition(
            **shared,
            title=gettext(criterion.label),
            criterion=criterion.name,
            operator=operator.name,
            operators=[(o.name, gettext(o.label)) for o in criterion.operators],
            inputs=self._inputs(operator.inputs, settings, shared["place"]),
            period=self._inputs(criterion.inputs, settings, shared["place"]),
            fields=" ".join(field.name for field in fields),
        )

    def _inputs(
        self, fields: Sequence[Input], settings: Mapping[str, Any], place: str
    ) -> list[ShownInput]:
        return [self._input(field, settings.get(field.name), place) for field in fields]

    def _input(self, field: Input, value: Any, place: str) -> ShownInput:
        name = f"{place}.{field.name}"
        options = [(choice.value, gettext(choice.label)) for choice in field.choices]
        return ShownInput(
            name=name,
            kind=field.kind.value,
            label=gettext(field.label),
            before=gettext(field.before) if field.before else "",
            after=gettext(field.after) if field.after else "",
            value=_typed(field, value),
            chosen=value if isinstance(value, list) else [value],
            options=[("", gettext("Choose")), *options]
            if field.kind is InputKind.CHOICE
            else options,
            error=self.errors.get(name, ""),
            required=field.required,
            tags=self._tags(field, value),
        )

    def _tags(self, field: Input, value: Any) -> Mapping[str, str] | None:
        if field.suggestions is not Suggestions.PRODUCTS:
            return None
        codes = [code.strip() for code in _typed(field, value).split(",")]
        return product_names(self.session, current.tenant_id, codes[:_MOST_TAGS])


def _chosen(criterion: Criterion, settings: Mapping[str, Any]) -> Operator:
    """The operator that is chosen; a new condition begins with the first."""
    named = [o for o in criterion.operators if o.name == settings.get("operator")]
    return named[0] if named else criterion.operators[0]


def _typed(field: Input, value: Any) -> str:
    if field.kind is InputKind.TEXTS and isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _raw(settings: Mapping[str, Any], shared: dict[str, Any]) -> ShownCondition:
    """A condition whose criterion is gone, or that is written as JSON only."""
    return ShownCondition(
        **shared,
        title=str(settings.get("criterion", shared["source"])),
        criterion="",
        operator="",
        operators=(),
        inputs=(),
        period=(),
        fields="",
        json=json_of(settings),
    )
