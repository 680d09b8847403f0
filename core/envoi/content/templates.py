"""Message templates: Jinja2 behind one interface, checked against an allow-list before use."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from envoi.content.filters import FILTERS
from envoi.content.macros import ReadMacros, call_of
from envoi.content.sandbox import TESTS, RenderContext, Sandbox
from envoi.errors import TemplateError

MAX_SOURCE = 512 * 1024
MAX_TOKENS = 30_000
MAX_NODES = 5_000
MAX_DEPTH = 40
MAX_LOOP_DEPTH = 3
MAX_OUTPUT = 2_000_000

_ALLOWED = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Assign),
    *(nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.List, nodes.Tuple),
    *(
        nodes.Call,
        nodes.Filter,
        nodes.Test,
        nodes.Keyword,
        nodes.CondExpr,
        nodes.Compare,
        nodes.Operand,
    ),
    *(nodes.And, nodes.Or, nodes.Not, nodes.Concat, nodes.Neg, nodes.Pos),
    *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod),
)
_RENDER_ERRORS = (
    jinja2.TemplateError,
    ArithmeticError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)

_MARKUP = frozenset("<>&\"'")

_SANDBOXES = {html: Sandbox(html=html) for html in (False, True)}


class JinjaTemplate:
    """A checked template, compiled to Python once; safe to share between threads."""

    def __init__(self, source: str, *, html: bool, macros: Collection[str] = ()) -> None:
        """Parse, check and compile; raise `TemplateError` with the line.

        Args:
            source: The template.
            html: Whether values are escaped.
            macros: The names of the macros that may be called.
        """
        self._environment = _SANDBOXES[html]
        reading = ReadMacros()
        tree = reading.visit(_BoundLoops().visit(parse(source, macros)))
        self.calls = frozenset(reading.calls)
        tree.set_environment(self._environment)
        try:
            code = self._environment.compile(tree)
        except (SyntaxError, *_RENDER_ERRORS) as error:
            raise _template_error(error) from None
        template = jinja2.Template.from_code(self._environment, code, {})
        self._root = template.root_render_func

    def render(self, variables: Mapping[str, Any]) -> str:
        """Fill in the variables; unknown ones become empty.

        Raises:
            TemplateError: The values do not suit the template, or a bound was passed.
        """
        world = variables if isinstance(variables, dict) else dict(variables)
        context = RenderContext(self._environment, world, None, {})
        parts, size = [], 0
        try:
            for part in self._root(context):
                size += len(part)
                if size > MAX_OUTPUT:
                    raise TemplateError(f"The message is longer than {MAX_OUTPUT:,} characters.")
                parts.append(part)
        except _RENDER_ERRORS as error:
            raise _template_error(error) from None
        return "".join(parts)


def parse(source: str, macros: Collection[str] | None = ()) -> nodes.Template:
    """Parse a template and check every node; raise `TemplateError` with the line.

    The given macros may be called; None stands for any.
    """
    if len(source) > MAX_SOURCE:
        raise TemplateError(f"The template is larger than {MAX_SOURCE // 1024} KB. Shorten it.")
    environment = _SANDBOXES[False]
    try:
        _check_tokens(environment.lex(source))
        tree = environment.parse(source)
    except (jinja2.TemplateError, RecursionError, ValueError) as error:
        raise _template_error(error) from None
    _check(tree, macros)
    return tree


def _check_tokens(found: Iterable[tuple[int, str, str]]) -> None:
    before = ""
    for count, (line, kind, text) in enumerate(found):
        if count >= MAX_TOKENS:
            raise TemplateError("The template holds too many expressions. Split it or simplify it.")
        # What stands in `raw` reaches people as it is, past every check of markup.
        if before == "raw_begin" and _MARKUP & set(text):
            raise TemplateError("raw cannot hold markup or quotes.", line=line)
        before = kind


def unknown_variables(source: str, known: Iterable[str]) -> list[str]:
    """List the variables of a template that nothing will fill, as dotted paths.

    A known path ending in `.*` admits everything below it, and every path admits its parents.
    Whether a macro exists is found out when the template is compiled.
    """
    tree = parse(source, None)
    found = [node for node, _, _ in _walk(tree)]
    called = (call.name for call in map(call_of, found) if call)
    local = {"loop", *called, *(_path(node) for node in found if _is_stored(node))}
    paths = {_path(node) for node in found if isinstance(node, nodes.Name | nodes.Getattr)}
    inner = {_path(node.node) for node in found if isinstance(node, nodes.Getattr)}
    known = set(known)
    foreign = (path for path in paths - inner if path and path.split(".")[0] not in local)
    return sorted(path for path in foreign if not _is_known(path, known))


def _is_stored(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.ctx == "store"


def _is_known(path: str, known: set[str]) -> bool:
    if any(path == k or k.startswith(f"{path}.") for k in known):
        return True
    return any(k.endswith(".*") and path.startswith(k[:-1]) for k in known)


def _path(node: nodes.Node) -> str:
    names: list[str] = []
    while isinstance(node, nodes.Getattr):
        names.append(node.attr)
        node = node.node
    if not isinstance(node, nodes.Name):
        return ""
    return ".".join([node.name, *reversed(names)])


def _walk(tree: nodes.Node) -> Iterator[tuple[nodes.Node, int, int]]:
    """Every node with its depth and the number of loops around it, without recursion."""
    stack = [(tree, 0, 0)]
    while stack:
        node, depth, loops = stack.pop()
        yield node, depth, loops
        inside = loops + isinstance(node, nodes.For)
        stack.extend((child, depth + 1, inside) for child in node.iter_child_nodes())


def _check(tree: nodes.Template, macros: Collection[str] | None) -> None:
    for count, (node, depth, loops) in enumerate(_walk(tree)):
        if count > MAX_NODES:
            raise TemplateError("The template holds too many expressions. Simplify it.")
        if depth > MAX_DEPTH or loops > MAX_LOOP_DEPTH:
            raise TemplateError("The template is nested too deep. Simplify it.", line=node.lineno)
        if problem := _problem(node) or _problem_of_call(node, macros):
            raise TemplateError(problem, line=node.lineno)


def _problem(node: nodes.Node) -> str:
    match node:
        case nodes.Name(name=name) | nodes.Getattr(attr=name) if name.startswith("_"):
            return f"{name} cannot be used: names do not begin with an underscore."
        case nodes.Getitem(arg=nodes.Const(value=str(name))) if name.startswith("_"):
            return f"{name} cannot be used: names do not begin with an underscore."
        case nodes.Filter(name=name) if name not in FILTERS:
            return f"There is no filter {name}. There are: {', '.join(sorted(FILTERS))}."
        case nodes.Filter(dyn_args=dynamic, dyn_kwargs=named) if dynamic or named:
            return "A filter takes plain arguments only."
        case nodes.Test(name=name) if name not in TESTS:
            return f"There is no test {name}. There are: {', '.join(sorted(TESTS))}."
        case nodes.List(items=items) | nodes.Tuple(items=items) if not _all_constant(items):
            return "A list holds plain texts and numbers only."
        case nodes.For(target=target, recursive=recursive) if recursive or not _is_stored(target):
            return "A loop has the form {% for item in list %}."
        case nodes.Assign(target=target) if not _is_stored(target):
            return "An assignment has the form {% set name = value %}."
    if type(node) not in _ALLOWED:
        return f"{type(node).__name__.lower()} cannot be used in a template."
    return ""


def _problem_of_call(node: nodes.Node, macros: Collection[str] | None) -> str:
    if not isinstance(node, nodes.Call):
        return ""
    call = call_of(node)
    if call is not None and (macros is None or call.name in macros):
        return ""
    if macros is not None and not macros:
        return "Nothing can be called in a template; use filters, such as {{ name | upper }}."
    if call is None:
        return 'A macro is called with one text at most, such as {{ name("text") }}.'
    return f"There is no macro {call.name}. There are: {', '.join(sorted(macros or ()))}."


def _all_constant(items: list[nodes.Expr]) -> bool:
    return all(isinstance(item, nodes.Const) for item in items)


class _BoundLoops(NodeTransformer):
    """Sends every loop and every joining of texts through a function that counts."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 -- Jinja's naming
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "_loop")
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 -- Jinja's naming
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), "_concat")


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    assert isinstance(node, nodes.Expr)
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _template_error(error: BaseException) -> TemplateError:
    line = getattr(error, "lineno", None)
    if isinstance(error, RecursionError):
        return TemplateError("The template is nested too deep. Simplify it.")
    return TemplateError(f"The template cannot be used: {str(error).rstrip('.')}.", line=line)
