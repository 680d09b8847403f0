"""Every text has a Russian translation, and the compiled file is the one in use."""

from __future__ import annotations

import ast
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest
from babel.messages import Catalog
from babel.messages.mofile import read_mo, write_mo

from envoi.webkit import sentences
from envoi_web import core_words, plugin_words, texts
from envoi_web.policies import words as policy_words
from envoi_web.segments import words as segment_words

RENEW = "run `python -m envoi_web.texts` and translate what it names"
ROOT = Path(__file__).parents[2]
SAYING = [
    path
    for path in (
        *ROOT.glob("core/**/*.py"),
        *ROOT.glob("plugins/**/*.py"),
        *ROOT.glob("web/**/*.py"),
        *ROOT.glob("workers/**/*.py"),
    )
    if path.name not in ("words.py", "core_words.py", "plugin_words.py", "sentences.py")
]


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_every_text_is_translated(language: str) -> None:
    assert texts.missing(texts.read(language)) == [], RENEW


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_the_compiled_file_is_fresh(language: str) -> None:
    compiled = io.BytesIO()
    write_mo(compiled, texts.read(language))
    compiled.seek(0)
    with texts.po_file(language).with_suffix(".mo").open("rb") as shipped:
        assert _texts(read_mo(shipped)) == _texts(read_mo(compiled)), RENEW


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_placeholders_survive_translation(language: str) -> None:
    translated = [message for message in texts.read(language) if message.string]
    assert [message.id for message in translated if list(message.check())] == []


def _texts(catalog: Catalog) -> dict[str, str]:
    return {str(m.id): str(m.string) for m in catalog if m.id and m.string}


@pytest.mark.parametrize("module", [core_words, plugin_words, segment_words, policy_words])
def test_what_is_translated_for_the_core_is_what_the_core_says(module: ModuleType) -> None:
    said = {text.casefold() for path in SAYING for text in _texts_of(path)}
    listed = set(_texts_of(Path(str(module.__file__)))) - {module.__doc__}
    assert sorted(text for text in listed if text.casefold() not in said) == []


def test_sentences_with_values_are_what_the_core_says() -> None:
    said = {text.casefold() for path in SAYING for text in _texts_of(path, named=False)}
    bare = {_bare(text) for text in said}
    missing = [s for s in sentences.WITH_VALUES if _bare(s).casefold() not in bare]
    assert [s for s in missing if not any(map(_form_of(s).fullmatch, said))] == []


def test_templates_translate_only_texts_that_are_written_there() -> None:
    """`_(variable)` would take its HTML for safe; the filter `translated` escapes it."""
    unsafe = re.compile(r"""\bn?_\((?!\s*["'])""")
    pages = [path for folder in texts.sources() for path in folder.rglob("templates/**/*.html")]
    assert [str(path) for path in pages if unsafe.search(path.read_text(encoding="utf-8"))] == []


def _form_of(sentence: str) -> re.Pattern[str]:
    """A sentence of which a value is a word that the core writes out, such as a column's code."""
    return re.compile(r"\w*".join(map(re.escape, re.split(r"\{\w+\}", sentence.casefold()))))


def _bare(text: str) -> str:
    """A sentence without the places of its values, however they are marked or where it begins."""
    return re.sub(r"\{\w+\}", "", text).strip()


def _texts_of(path: Path, *, named: bool = True) -> Iterator[str]:
    """Every text in a module's source, with the module's own numbers in it if they are `named`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    numbers = {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        and named
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(_part(value, numbers) for value in node.values)


def _part(value: ast.expr, numbers: Mapping[str, object]) -> str:
    """A piece of an f-string: its text, or the constant it names."""
    if isinstance(value, ast.Constant):
        return str(value.value)
    named = value.value if isinstance(value, ast.FormattedValue) else value
    return str(numbers.get(named.id, "")) if isinstance(named, ast.Name) else ""
