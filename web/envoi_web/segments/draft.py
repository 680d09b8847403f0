"""The tree as a person edits it: read from the form, changed by one button, maybe incomplete.

A draft has the shape of a stored tree, but its values are texts as typed. A node's name in
the form is its place: `t` is the root, `t.0.2` the third node of the root's first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from pydantic_core import from_json, to_json
from werkzeug.datastructures import MultiDict

from envoi.segments.tree import MAX_DEPTH, MAX_NODES

ROOT = "t"
Draft = dict[str, Any]
Form = MultiDict[str, str]
_MATCHES = ("all", "any", "not")


def empty_draft() -> Draft:
    """A new segment: one group without conditions."""
    return {"all": []}


def read_draft(form: Form) -> Draft:
    """Read the tree of a posted form."""
    found = _node(form, ROOT, 0)
    return found if found and match_of(found) else empty_draft()


def match_of(node: Mapping[str, Any]) -> str:
    """How a group matches; empty for a condition."""
    return next((match for match in _MATCHES if match in node), "")


def place_of(path: str) -> str:
    """Turn the path of a problem, `all.0.any.2.settings.value`, into the name of its field."""
    short = re.sub(r"\b(?:all|any|not)\.(\d+)", r"\1", path).replace(".settings", "")
    return f"{ROOT}.{short}" if short else ROOT


def changed(draft: Draft, action: str, form: Form) -> Draft:
    """Return the draft after a button such as `up:t.0.2`; unknown ones change nothing."""
    name, _, place = action.partition(":")
    if name not in _ACTIONS or not re.fullmatch(rf"{ROOT}(\.\d{{1,4}})*", place):
        return draft
    draft = deepcopy(draft)
    steps = [int(step) for step in place.split(".")[1:]]
    if name in ("add", "group"):
        _grow(draft, steps, name, form.get(f"{place}.new", ""))
    elif steps:
        _ACTIONS[name](_nodes(draft, steps[:-1]), steps[-1])
    return draft


def _node(form: Form, place: str, depth: int) -> Draft | None:
    if f"{place}.source" in form:
        return {"source": form[f"{place}.source"], "settings": _settings(form, place)}
    match = form.get(f"{place}.match")
    if match not in _MATCHES or depth > MAX_DEPTH:
        return None
    size = min(form.get(f"{place}.size", 0, type=int), MAX_NODES)
    read = [_node(form, f"{place}.{number}", depth + 1) for number in range(size)]
    return {match: [node for node in read if node]}


def _settings(form: Form, place: str) -> dict[str, Any]:
    """A condition's own fields, and nothing of fields that its operator does not know."""
    raw = form.get(f"{place}.json")
    if raw is not None:
        return _json_settings(raw)
    names = form.get(f"{place}.fields", "").split()
    return {name: _typed(form, f"{place}.{name}") for name in ["criterion", "operator", *names]}


def _typed(form: Form, name: str) -> str | list[str]:
    """A field's text; a list where several values were chosen."""
    values = form.getlist(name)
    return values if len(values) > 1 else "".join(values)


def _json_settings(raw: str) -> dict[str, Any]:
    try:
        found = from_json(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def json_of(value: Any) -> str:
    """Write settings or a tree for the form."""
    return to_json(value, indent=2).decode()


def resulting_place(before: Draft, action: str) -> str:
    """The place that a button made or moved a node to, so that the focus can go there."""
    name, _, place = action.partition(":")
    if name not in _ACTIONS or not re.fullmatch(rf"{ROOT}(\.\d{{1,4}})*", place):
        return ""
    if name in ("add", "group"):
        steps = [int(step) for step in place.split(".")[1:]]
        return f"{place}.{len(_nodes(before, steps))}"
    group, _, at = place.rpartition(".")
    if not group or name == "delete":
        return group
    return f"{group}.{max(0, int(at) + _MOVES.get(name, 0))}"


_MOVES = {"up": -1, "down": 1, "copy": 1}


def _nodes(draft: Draft, steps: list[int]) -> list[Draft]:
    """The nodes of the group at a place; an empty list when there is none."""
    node = draft
    for step in steps:
        children = node.get(match_of(node), [])
        if step >= len(children):
            return []
        node = children[step]
    nodes: list[Draft] = node.get(match_of(node), [])
    return nodes


def _grow(draft: Draft, steps: list[int], name: str, wanted: str) -> None:
    nodes = _nodes(draft, steps)
    if name == "group":
        nodes.append({"any": []})
    elif ":" in wanted:
        source, _, criterion = wanted.partition(":")
        nodes.append({"source": source, "settings": {"criterion": criterion}})


def _delete(nodes: list[Draft], at: int) -> None:
    del nodes[at : at + 1]


def _up(nodes: list[Draft], at: int) -> None:
    if 0 < at < len(nodes):
        nodes[at - 1], nodes[at] = nodes[at], nodes[at - 1]


def _down(nodes: list[Draft], at: int) -> None:
    _up(nodes, at + 1)


def _copy(nodes: list[Draft], at: int) -> None:
    nodes[at + 1 : at + 1] = deepcopy(nodes[at : at + 1])


def _wrap(nodes: list[Draft], at: int) -> None:
    nodes[at : at + 1] = [{"all": [node]} for node in nodes[at : at + 1]]


_ACTIONS: dict[str, Callable[[list[Draft], int], None]] = {
    "delete": _delete,
    "up": _up,
    "down": _down,
    "copy": _copy,
    "wrap": _wrap,
    "add": lambda _nodes, _at: None,
    "group": lambda _nodes, _at: None,
}
