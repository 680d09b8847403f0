"""Every template compiles, pages have titles, nothing is inline, components say what they need."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from jinja2 import Environment

from envoi.app import create_app
from envoi.db import connect
from envoi.installation import Installation
from envoi.plugins import load_plugins
from pages import TEST_SETTINGS

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted(
    path
    for top in ("core", "plugins", "web", "tests/fixtures/partner_plugin")
    for path in (ROOT / top).rglob("templates/**/*.html")
)
PAGES = [path for path in TEMPLATES if "{% extends" in path.read_text(encoding="utf-8")]
COMPONENTS = [path for path in TEMPLATES if path.parent.name == "components"]
EXTENDS = re.compile(r'{% extends "([^"]+)"')
TITLE = re.compile(r"{% block title %}\s*\S.*?{% endblock", re.DOTALL)
INLINE = re.compile(
    r"""\sstyle\s*=|<style(?! nonce="{{ nonce }}")|"""
    r"""\son[a-z]+\s*=\s*["']|<script(?![^>]*\ssrc=)|hx-on|hx-vals=.js"""
)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def page_app() -> Flask:
    """The application; its database is not asked for anything."""
    return create_app(Installation(TEST_SETTINGS, connect("postgresql://"), load_plugins()))


@pytest.fixture(scope="module")
def environment(page_app: Flask) -> Environment:
    """The pages' environment, with all filters and globals."""
    found: Environment = page_app.jinja_env
    return found


def test_there_are_templates() -> None:
    assert len(TEMPLATES) > 30
    assert len(COMPONENTS) > 10


@pytest.mark.parametrize("path", TEMPLATES, ids=_name)
def test_every_template_compiles(environment: Environment, path: Path) -> None:
    environment.compile(path.read_text(encoding="utf-8"), filename=str(path))


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_every_page_has_a_title(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    parent = path.parents[1] / EXTENDS.findall(source)[0]
    inherited = parent.read_text(encoding="utf-8") if parent in PAGES else ""
    # A frame for other pages hands the title on.
    assert TITLE.search(source) or TITLE.search(inherited) or "{% block frame %}" in source


@pytest.mark.parametrize("path", TEMPLATES, ids=_name)
def test_nothing_is_inline(path: Path) -> None:
    assert INLINE.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", COMPONENTS, ids=_name)
def test_every_component_begins_with_what_it_needs(path: Path) -> None:
    assert re.match(r"{#-?\s*\S.{10,}?#}", path.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_what_a_template_names_exists(environment: Environment, path: Path) -> None:
    if "tracking" in path.parts or "partner_plugin" in path.parts:
        return
    source = path.read_text(encoding="utf-8")
    named = re.findall(r'{%-? (?:extends|include|from|import) "([^"]+)"', source)
    assert [name for name in named if name not in environment.list_templates()] == []
