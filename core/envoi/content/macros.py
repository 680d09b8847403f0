"""Macros in templates: how they are written, and how their values get into a rendering.

`{{ name("argument") }}` looks like a call and is none: it is turned into a look-up among values
that were made before, so that nothing of a plugin runs while a message is rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

VARIABLE = "_macros"
"""Where the values are; no author can name it, since names begin with no underscore."""


class MacroCall(NamedTuple):
    """A macro as a template calls it."""

    name: str
    argument: str

    def __str__(self) -> str:
        """Return it as it is written."""
        return f'{self.name}("{self.argument}")' if self.argument else f"{self.name}()"


def call_of(node: nodes.Node) -> MacroCall | None:
    """Return the macro that a node calls, if it has the one form that is allowed."""
    match node:
        case nodes.Call(node=nodes.Name(name=name), kwargs=[], dyn_args=None, dyn_kwargs=None):
            match node.args:
                case []:
                    return MacroCall(name, "")
                case [nodes.Const(value=str(argument))]:
                    return MacroCall(name, argument)
    return None


class ReadMacros(NodeTransformer):
    """Turns every call of a macro into a look-up, and notes it."""

    def __init__(self) -> None:
        self.calls: set[MacroCall] = set()

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802 -- Jinja's naming
        """Replace a call that `call_of` has found to be one."""
        call = call_of(node)
        assert call is not None, "the template was checked before"
        self.calls.add(call)
        found: nodes.Expr = nodes.Name(VARIABLE, "load", lineno=node.lineno)
        for key in call:
            constant = nodes.Const(key, lineno=node.lineno)
            found = nodes.Getitem(found, constant, "load", lineno=node.lineno)
        return found


class Looked(dict[str, Any]):
    """Values that are made when a template first looks for them."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        super().__init__()
        self._make = make

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002 (as of a dict)
        """Return the value of a key, made now if need be."""
        if key not in self:
            self[key] = self._make(key)
        return self[key]


def looked_up(value: Callable[[MacroCall], str]) -> Mapping[str, Any]:
    """Return the variables in which a template finds what `value` says of each call."""
    return {VARIABLE: Looked(lambda name: Looked(lambda said: value(MacroCall(name, said))))}
