"""The Jinja environment of message templates: plain data only, everything bounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from time import thread_time
from typing import Any

from jinja2 import ChainableUndefined, Undefined, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from envoi.content.filters import FILTERS, MAX_NUMBER, concat, text

MAX_STEPS = 10_000
MAX_SECONDS = 0.5
LOOP_FIELDS = frozenset({"index", "index0", "revindex", "first", "last", "length"})
TESTS = frozenset({"defined", "undefined", "even", "odd", "divisibleby", "number", "string", "in"})


class Empty(ChainableUndefined):
    """What an unknown variable is: nothing, equal to the empty text, never an error."""

    def __eq__(self, other: object) -> bool:
        return other is None or other == "" or isinstance(other, Undefined)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash("")

    def _never(self, _other: object) -> bool:
        return False

    def _itself(self) -> Empty:
        return self

    __lt__ = __le__ = __gt__ = __ge__ = _never  # type: ignore[assignment]
    __neg__ = __pos__ = _itself  # type: ignore[assignment]


class RenderContext(Context):
    """The variables of one rendering, and what it has used up so far."""

    steps = 0
    deadline = 0.0

    def resolve_or_missing(self, key: str) -> Any:
        """Look a variable up; a value of None is as good as missing."""
        value = self.vars[key] if key in self.vars else self.parent.get(key)
        return missing if value is None else value

    def step(self) -> None:
        """Count one turn of a loop; processor time, since a busy machine is no fault of ours."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise SecurityError(f"the loops take more than {MAX_STEPS:,} turns")
        if thread_time() > self.deadline:
            raise SecurityError(f"rendering takes more than {MAX_SECONDS:g} s")


class BoundedLoop:
    """A list that counts the turns of every loop over it."""

    def __init__(self, context: RenderContext, items: Sequence[Any]) -> None:
        self._context = context
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            self._context.step()
            yield item


@pass_context
def _loop(context: RenderContext, value: Any) -> BoundedLoop:
    if not context.deadline:
        context.deadline = thread_time() + MAX_SECONDS
    return BoundedLoop(context, value if isinstance(value, (list, tuple)) else ())


class Sandbox(ImmutableSandboxedEnvironment):
    """Reaches keys of dicts, items of lists and the loop's counters: no Python attribute, ever."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%"})
    context_class = RenderContext

    def __init__(self, *, html: bool) -> None:
        super().__init__(
            autoescape=html, undefined=Empty, finalize=text, keep_trailing_newline=True
        )
        self.globals.clear()
        self.filters = {**FILTERS, "_loop": _loop, "_concat": concat}
        self.tests = {name: self.tests[name] for name in TESTS}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Read a key of a dict or a counter of the loop."""
        if isinstance(obj, dict):
            value = obj.get(attribute)
            return self.undefined(name=attribute) if value is None else value
        if isinstance(obj, LoopContext) and attribute in LOOP_FIELDS:
            return getattr(obj, attribute)
        return self.undefined(name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Read a key of a dict, or an item or slice of a list or text."""
        if isinstance(obj, dict) and isinstance(argument, str):
            return self.getattr(obj, argument)
        if isinstance(obj, (str, list, tuple)) and isinstance(argument, (int, slice)):
            try:
                return obj[argument]
            except IndexError:
                pass
        return self.undefined(name=str(argument)[:50])

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Calculate with numbers only, and only with numbers of a sane size."""
        if isinstance(left, Undefined) or isinstance(right, Undefined):
            return self.undefined()
        for value in (left, right):
            if not isinstance(value, int | float | Decimal):
                raise SecurityError(f"only numbers can be used with {operator}; join texts with ~")
            if not -MAX_NUMBER <= value <= MAX_NUMBER:
                raise SecurityError("a number is too large")
        return super().call_binop(context, operator, left, right)
