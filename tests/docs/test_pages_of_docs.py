"""Pages of docs: links lead somewhere, commands exist, words are those on the screen."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from babel.messages.pofile import read_po

from envoi.cli import commands

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md"))]
# The words before an argument: `envoi gateway set --tenant x` is `gateway set`.
COMMAND = re.compile(r"^(?:envoi|.*`envoi) ((?:[a-z]+ ?){1,2})", re.MULTILINE)

LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)#:]+)(?:#[^)]*)?\)")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_links_lead_to_pages(path: Path) -> None:
    links = re.findall(
        r"(?<!!)\[[^\]]+\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")
    )
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_commands_exist(path: Path) -> None:
    written = COMMAND.findall(path.read_text(encoding="utf-8"))
    assert [words for words in written if not _exists(words.split())] == []


def _exists(words: list[str]) -> bool:
    context = click.Context(commands)
    found = commands.get_command(context, words[0])
    if isinstance(found, click.Group) and len(words) > 1:
        return found.get_command(context, words[1]) is not None
    return found is not None


HELP = sorted(f"users/{path.name}" for path in (ROOT / "docs/users").glob("*.md"))


@pytest.mark.parametrize("page", [*HELP, "administrators/companies.md"])
def test_words_in_bold_are_those_on_the_screen(page: str) -> None:
    folders = (ROOT / "web" / "envoi_web", ROOT / "plugins")
    sources = [
        path for folder in folders for end in ("html", "py") for path in folder.rglob(f"*.{end}")
    ]
    shown = "".join(path.read_text(encoding="utf-8") for path in sources)
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    words = {" ".join(found.split()) for found in re.findall(r"\*\*([^*]+)\*\*", text)}
    assert {
        word for word in words if f'ext("{word}")' not in shown.replace('_("', 'ext("')
    } == set()


@pytest.mark.parametrize("path", sorted((ROOT / "docs/users/ru").glob("*.md")), ids=_name)
def test_words_in_bold_are_the_translated_ones(path: Path) -> None:
    catalogue = ROOT / "web/envoi_web/translations/ru/LC_MESSAGES/messages.po"
    with catalogue.open("rb") as stream:
        shown = {message.string for message in read_po(stream) if isinstance(message.string, str)}
    found = re.findall(r"\*\*([^*]+)\*\*", path.read_text(encoding="utf-8"))
    assert {" ".join(words.split()) for words in found} - shown == set()


def test_the_code_of_the_rule_is_the_code_of_the_example() -> None:
    tutorial = (ROOT / "docs" / "plugins" / "rule.md").read_text(encoding="utf-8")
    example = (ROOT / "tests/fixtures/partner_plugin/envoi_fieldpost/birthday.py").read_text()
    [_, rule, _, _] = re.findall(r"```(?:toml|python)\n(.*?)```", tutorial, re.DOTALL)
    code = [line for line in rule.splitlines() if line.startswith("    ") or "=" in line]
    assert len(code) > 5
    assert [line for line in code if line not in example] == []
