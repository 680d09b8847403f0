"""One place decides between page and fragment; a fragment is a block of the page's template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Response, current_app, render_template, request, url_for
from jinja2_fragments.flask import render_block
from werkzeug.routing import IntegerConverter, Map

from envoi.webkit import htmx

PAGE_SIZES = (10, 25, 50, 100)
_PLACES = ("page", "after", "before", "patient")
"""The parameters that say where in a list a page stands, and how long it may take."""


class IdConverter(IntegerConverter):
    """The number of a thing in an address; nothing has one that the database cannot hold."""

    def __init__(self, map: Map) -> None:
        super().__init__(map, max=2**63 - 1)


def page(
    template: str, *, fragments: Sequence[str] = (), status: int = 200, **context: Any
) -> Response:
    """Render a page, or only the block whose name is the id in HX-Target.

    Args:
        template: The page's template.
        fragments: Blocks that a browser may ask for; an element's id is the block's name, with
            `-` where the block has `_`.
        status: 200, or 422 where a form is shown again with its problems.
        **context: What the template is given.
    """
    block = htmx.target().replace("-", "_") if htmx.is_fragment() else ""
    if block in fragments:
        return fragment(template, block, status=status, **context)
    return htmx.respond(render_template(template, **context), status)


def fragment(template: str, block: str, *, status: int = 200, **context: Any) -> Response:
    """Render one block of a template; use it where only a script asks."""
    names = {**_own_names(template, context), **context}
    return htmx.respond(render_block(template, block, **names), status)


def parts(template: str, blocks: Sequence[str], *, status: int = 200, **context: Any) -> Response:
    """Render the block that asked and, out of band (`oob`), the others that follow from it."""
    rendered = [
        fragment(template, block, **context, oob=place > 0).get_data(as_text=True)
        for place, block in enumerate(blocks)
    ]
    return htmx.respond("".join(rendered), status)


def _own_names(template: str, context: dict[str, Any]) -> dict[str, Any]:
    """Return what a template imports and sets at its top, which `render_block` leaves out.

    The template's statements run up to the first output, which is already its parent's.
    """
    source = current_app.jinja_env.get_template(template)
    scope = dict(context)
    current_app.update_template_context(scope)
    running = source.new_context(scope)
    next(iter(source.root_render_func(running)), None)
    return running.vars


def page_url(**changes: Any) -> str:
    """Return this page's address with query parameters changed; None takes one out.

    Whatever changes besides the place in the list leads back to the first page.
    """
    query = {**request.args.to_dict(flat=False), **changes}
    if not changes.keys() & set(_PLACES):
        query = {name: value for name, value in query.items() if name not in _PLACES}
    kept = {name: value for name, value in query.items() if value is not None}
    here = url_for(request.endpoint or "", **(request.view_args or {}))
    # The query is never given to `url_for`, which takes names such as `_scheme` for its own.
    return f"{here}?{urlencode(kept, doseq=True)}" if kept else here


@dataclass(frozen=True, kw_only=True)
class Paging:
    """Where a list stands: rows from `first` to `last` of `total`, pages from 1."""

    total: int
    page: int
    size: int

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(1, -(-self.total // self.size))

    @property
    def offset(self) -> int:
        """How many rows come before this page."""
        return (self.page - 1) * self.size

    @property
    def first(self) -> int:
        """The number of the first row shown, 0 for an empty list."""
        return min(self.offset + 1, self.total)

    @property
    def last(self) -> int:
        """The number of the last row shown."""
        return min(self.offset + self.size, self.total)

    @property
    def near(self) -> list[int]:
        """The page numbers that are offered: the first, the last and those around this one."""
        around = range(self.page - 2, self.page + 3)
        return sorted({1, self.pages, *(number for number in around if 1 <= number <= self.pages)})


def rows_per_page(size: int = 10) -> int:
    """Read how many rows a page is to have from the address: one of those that are offered."""
    asked = request.args.get("size", size, type=int)
    return asked if asked in PAGE_SIZES else size


def paging_of(total: int, *, size: int = 10) -> Paging:
    """Read page and size from the address, kept within what exists."""
    size = rows_per_page(size)
    pages = max(1, -(-total // size))
    number = min(max(request.args.get("page", 1, type=int), 1), pages)
    return Paging(total=total, page=number, size=size)
