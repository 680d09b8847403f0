"""Shows the pages of `docs/users` in the employee's language, English where there is no other."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from flask import Response, send_file, url_for
from flask_babel import get_locale
from flask_babel import gettext as _
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from envoi.errors import NotFoundError
from envoi.webkit import Blueprint, page, permission

help_pages = Blueprint("help", __name__, url_prefix="/help")

_NAME = re.compile(r"[a-z0-9-]{1,60}")
_IMAGE = re.compile(r"[a-z0-9-]{1,80}\.png")
_PACKAGED = Path(__file__).with_name("docs")
_IN_THE_TREE = Path(__file__).parents[3] / "docs"


@help_pages.get("/")
@permission("own.settings")
def index() -> Response:
    """Show the first page."""
    return _shown("index")


@help_pages.get("/<name>")
@permission("own.settings")
def show(name: str) -> Response:
    """Show a page."""
    return _shown(name)


@help_pages.get("/images/<name>")
@permission("own.settings")
def image(name: str) -> Response:
    """Give a picture of a page."""
    path = _folder() / "images" / name
    if not _IMAGE.fullmatch(name) or not path.is_file():
        raise NotFoundError("There is no such picture.")
    return send_file(path, max_age=3600)


def _shown(name: str) -> Response:
    source = _source(name, str(get_locale()))
    title, body = _rendered(source)
    crumbs = [(_("Help"), url_for("help.index")), (title, "")]
    return page("help/page.html", title=title, body=body, crumbs=crumbs)


def _source(name: str, language: str) -> str:
    users = _folder() / "users"
    for path in (users / language / f"{name}.md", users / f"{name}.md"):
        if _NAME.fullmatch(name) and path.is_file():
            return path.read_text()
    raise NotFoundError("There is no such page of the help. Choose one from its contents.")


@cache
def _folder() -> Path:
    """The documentation: inside an installed package, or beside the code in a clone."""
    return _PACKAGED if _PACKAGED.is_dir() else _IN_THE_TREE


@cache
def _rendered(source: str) -> tuple[str, Markup]:
    """Turn Markdown into HTML; the first heading is the page's title."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(source)
    title = ""
    if tokens and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        title, tokens = tokens[1].content, tokens[3:]
    for token in tokens:
        _lead_inside(token)
    # The texts are ours and raw HTML in them is escaped.
    return title, Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704


def _lead_inside(token: Token) -> None:
    """Let links and pictures lead to the help's own addresses."""
    for child in token.children or ():
        if child.type == "image":
            name = str(child.attrs["src"]).rpartition("/")[2]
            child.attrs["src"] = url_for("help.image", name=name)
            child.attrs["class"] = "img-fluid border rounded"
        elif child.type == "link_open":
            found = re.fullmatch(r"(?:\.\./)?([a-z0-9-]+)\.md(#.*)?", str(child.attrs["href"]))
            if found:
                child.attrs["href"] = url_for("help.show", name=found[1]) + (found[2] or "")
    if token.type == "table_open":
        token.attrs["class"] = "table"
