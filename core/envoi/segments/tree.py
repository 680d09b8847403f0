"""The tree of a segment: groups of conditions, read from JSON and written back.

A group is `{"all": [...]}`, `{"any": [...]}` or `{"not": [...]}` (none of them holds), a
condition is `{"source": name, "settings": {...}}`. A path names a node: `all.0.any.2`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic_core import from_json

from envoi.errors import Problem, ValidationFailedError

MAX_DEPTH = 10
MAX_DEPTH_OF_BUILDER = 3
"""People never go deeper, so the builder does not offer it."""
MAX_NODES = 200


class Match(StrEnum):
    """How many of a group's nodes must hold."""

    ALL = "all"
    ANY = "any"
    NONE = "not"


@dataclass(frozen=True)
class Condition:
    """One condition: a segment source and its settings."""

    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Conditions and groups of which all, any or none must hold."""

    match: Match
    nodes: tuple[Node, ...]


Node = Condition | Group


def parse(data: object, *, max_depth: int = MAX_DEPTH) -> Group:
    """Read a tree from decoded JSON; raise `ValidationFailedError` with every problem."""
    reader = _Reader(max_depth)
    node = reader.node(data, "", 1)
    if not reader.problems and not isinstance(node, Group):
        reader.problems.append(
            Problem("", 'A segment begins with a group: {"all": [...]}, "any" or "not".')
        )
    if reader.problems:
        raise ValidationFailedError(reader.problems)
    assert isinstance(node, Group)
    return node


def parse_json(text: str, *, max_depth: int = MAX_DEPTH) -> Group:
    """Read a tree from JSON text, whatever its nesting."""
    try:
        data = from_json(text)
    except ValueError as error:
        raise ValidationFailedError([Problem("", f"This is no JSON: {error}.")]) from error
    return parse(data, max_depth=max_depth)


def dump(node: Node) -> dict[str, Any]:
    """Write a tree as what `parse` reads."""
    if isinstance(node, Condition):
        return {"source": node.source, "settings": dict(node.settings)}
    return {node.match.value: [dump(child) for child in node.nodes]}


def conditions(node: Node, path: str = "") -> Iterator[tuple[str, Condition]]:
    """Walk over the conditions with their paths."""
    if isinstance(node, Condition):
        yield path, node
        return
    for number, child in enumerate(node.nodes):
        yield from conditions(child, child_path(path, node.match, number))


def child_path(path: str, match: Match, number: int) -> str:
    """The path of a group's node."""
    return f"{path}.{match}.{number}".removeprefix(".")


class _Reader:
    def __init__(self, max_depth: int) -> None:
        self.max_depth = max_depth
        self.problems: list[Problem] = []
        self.count = 0

    def node(self, data: object, path: str, depth: int) -> Node | None:
        self.count += 1
        refused = self._refusal(data, depth)
        if refused:
            self.problems.append(Problem(path, refused))
            return None
        assert isinstance(data, dict)
        if "source" in data:
            return Condition(data["source"], data.get("settings", {}))
        match, children = next(iter(data.items()))
        return self._group(Match(match), children, path, depth)

    def _refusal(self, data: object, depth: int) -> str:
        if self.count > MAX_NODES:
            return f"A segment has at most {MAX_NODES} conditions and groups."
        if not isinstance(data, dict):
            return "Here must be a condition or a group, as a JSON object."
        if "source" in data:
            return _condition_refusal(data)
        if len(data) != 1 or next(iter(data)) not in set(Match):
            return 'A group has one key: "all", "any" or "not".'
        if depth > self.max_depth:
            return f"Groups are at most {self.max_depth} deep."
        children = next(iter(data.values()))
        if not isinstance(children, list) or not children:
            return "Add a condition to this group, or remove the group."
        return ""

    def _group(self, match: Match, children: list[Any], path: str, depth: int) -> Group:
        read = []
        for number, child in enumerate(children):
            if self.count > MAX_NODES:
                break
            read.append(self.node(child, child_path(path, match, number), depth + 1))
        return Group(match, tuple(node for node in read if node is not None))


def _condition_refusal(data: Mapping[str, Any]) -> str:
    if data.keys() - {"source", "settings"}:
        return 'A condition has only "source" and "settings".'
    if not isinstance(data["source"], str) or not isinstance(data.get("settings", {}), dict):
        return '"source" must be a text and "settings" an object.'
    return ""
