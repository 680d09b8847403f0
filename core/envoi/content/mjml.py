"""MJML to HTML, checked first and compiled in a child process that may die without harm."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from envoi.content.code import hidden_code
from envoi.content.markup import (
    VOID_ELEMENTS,
    Kind,
    Token,
    attributes,
    line_of,
    refuse_active_content,
    tokens,
)
from envoi.errors import TemplateError

MAX_SIZE = 512 * 1024
MAX_DEPTH = 64
MAX_SECONDS = 10

_CHILD = Path(__file__).with_name("mjml_child.py")
_POSITION = re.compile(r" at position (\d+)(?::\d+)?")
_COMPONENTS = re.compile(
    r"mj-(accordion(-element|-text|-title)?|all|attributes|body|breakpoint|button|carousel(-image)?"
    r"|class|column|divider|font|group|head|hero|html-attributes?|image|navbar(-link)?|preview|raw"
    r"|section|selector|social(-element)?|spacer|style|table|text|title|wrapper)"
)


@lru_cache(maxsize=16)
def compile_mjml(source: str) -> str:
    """Turn MJML into HTML; template syntax in it passes through.

    Raises:
        TemplateError: The MJML is too large, nested too deep, not well formed, or holds
            what a message may not hold.
    """
    source = source.encode(errors="replace").decode()
    if len(source) > MAX_SIZE:
        raise TemplateError(f"The MJML is larger than {MAX_SIZE // 1024} KB. Shorten it.")
    check_mjml(source)
    hidden = hidden_code(source)
    html = hidden.restore(_run_child(hidden.text))
    refuse_active_content(html)
    return html


def check_mjml(source: str) -> None:
    """Find what is wrong ourselves, since the compiler seldom says where."""
    _check_structure(source)
    refuse_active_content(source)


def _check_structure(source: str) -> None:
    opened: list[Token] = []
    root = ""
    for token in tokens(source):
        if token.kind is Kind.TEXT:
            _check_text(source, token)
        elif token.kind is Kind.OPEN:
            root = root or token.name
            _check_opening(source, token, root)
            if token.name not in VOID_ELEMENTS and not source.startswith("/>", token.end - 2):
                opened.append(token)
            if len(opened) > MAX_DEPTH:
                raise _error(f"The MJML is nested more than {MAX_DEPTH} deep.", source, token)
        elif token.kind is Kind.CLOSE and token.name not in VOID_ELEMENTS:
            _check_closing(source, opened.pop() if opened else None, token)
    if not root:
        raise TemplateError("MJML begins with <mjml>.", line=1)
    if opened:
        raise _error(f"<{opened[-1].name}> is never closed.", source, opened[-1])


def _check_text(source: str, token: Token) -> None:
    stray = source.find("<", token.start, token.end)
    if stray >= 0:
        line = line_of(source, stray)
        raise TemplateError("A < stands alone. Close the tag or write &lt;.", line=line)


def _check_opening(source: str, token: Token, root: str) -> None:
    if root != "mjml":
        raise _error("MJML begins with <mjml>.", source, token)
    if token.name.startswith("mj-") and not _COMPONENTS.fullmatch(token.name):
        raise _error(f"There is no MJML element <{token.name}> here.", source, token)
    for attribute in attributes(source, token):
        if not attribute.quoted:
            raise _error(f"The value of {attribute.name} needs quotes.", source, token)


def _check_closing(source: str, opened: Token | None, closing: Token) -> None:
    if opened is None:
        raise _error(f"</{closing.name}> closes nothing.", source, closing)
    if opened.name != closing.name:
        where = line_of(source, opened.start)
        message = f"</{closing.name}> does not close <{opened.name}> of line {where}."
        raise _error(message, source, closing)


def _error(message: str, source: str, token: Token) -> TemplateError:
    return TemplateError(message, line=line_of(source, token.start))


def _run_child(source: str) -> str:
    command = [sys.executable, "-I", str(_CHILD)]
    try:
        done = subprocess.run(
            command, input=source.encode(), capture_output=True, timeout=MAX_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise TemplateError("Compiling the MJML takes too long. Simplify it.") from None
    if done.returncode != 0:
        raise TemplateError("The MJML could not be compiled within its limits. Simplify it.")
    answer: dict[str, str] = json.loads(done.stdout)
    if "error" in answer:
        where = _POSITION.search(answer["error"])
        line = line_of(source, int(where[1])) if where else None
        message = _POSITION.sub("", answer["error"]).replace(" in root template", "")
        raise TemplateError(f"The MJML is not well formed: {message}.", line=line)
    return answer["html"]
