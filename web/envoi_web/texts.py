"""Collects the interface's texts and compiles the translations: `python -m envoi_web.texts`.

Texts come from the pages, from plugins and from `envoi.webkit`; new ones appear without a
translation in `messages.po`, which a test refuses. The compiled file is kept with the source,
so that installing needs no further step.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from envoi.plugins import BUILT_IN, load_plugins

PACKAGE = Path(__file__).parent
FOLDER = PACKAGE / "translations"
LANGUAGES = ("ru",)
# A date in the header would change with every run, and every run would then be a change.
_NO_DATE = datetime(2026, 1, 1, tzinfo=UTC)
_KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "lazy_gettext": None, "_l": None}
_METHODS = [
    ("**.py", "python"),
    ("**/templates/**.html", "jinja2"),
    ("templates/**.html", "jinja2"),
]
_OPTIONS = {
    name: {"silent": "false", "trim_blocks": "true", "lstrip_blocks": "true"}
    for name, _ in _METHODS[1:]
}


def sources() -> list[Path]:
    """The folders whose texts belong to this catalogue."""
    import envoi.webkit

    pages = {
        Path(blueprint.root_path)
        for info, blueprint in load_plugins().blueprints()
        if info.distribution == BUILT_IN and PACKAGE not in Path(blueprint.root_path).parents
    }
    return [PACKAGE, Path(envoi.webkit.__file__).parent, *sorted(pages - {PACKAGE})]


def collected() -> Catalog:
    """Every text that the sources use now."""
    catalog = Catalog(project="Envoi", charset="utf-8")
    for folder in sources():
        for name, _line, message, comments, context in extract_from_dir(
            folder, _METHODS, _OPTIONS, _KEYWORDS
        ):
            where = f"{folder.name}/{name}"
            catalog.add(message, None, [(where, 0)], auto_comments=comments, context=context)
    return catalog


def po_file(language: str) -> Path:
    """Where a language's texts are edited."""
    return FOLDER / language / "LC_MESSAGES" / "messages.po"


def mo_file(language: str) -> Path:
    """Where a language's texts are compiled to."""
    return po_file(language).with_suffix(".mo")


def read(language: str) -> Catalog:
    """The texts of a language as they are on disk, brought up to date with the sources."""
    path = po_file(language)
    with path.open("rb") as file:
        catalog = read_po(file, locale=language)
    catalog.update(collected(), no_fuzzy_matching=True, update_header_comment=False)
    catalog.obsolete.clear()
    catalog.header_comment = ""
    catalog.creation_date = catalog.revision_date = _NO_DATE
    catalog.msgid_bugs_address = catalog.last_translator = catalog.language_team = ""
    return catalog


def main() -> None:
    """Update and compile every language; say what still needs a translation."""
    for language in LANGUAGES:
        catalog = read(language)
        # Whoever reads meanwhile, or a run that fails, finds the whole file.
        texts, compiled = BytesIO(), BytesIO()
        write_po(
            texts, catalog, width=100, sort_output=True, include_lineno=False, omit_header=False
        )
        write_mo(compiled, catalog)
        for path, made in ((po_file(language), texts), (mo_file(language), compiled)):
            whole = path.with_name(f"{path.name}.{os.getpid()}")
            whole.write_bytes(made.getvalue())
            whole.replace(path)
        print(f"{language}: {len(missing(catalog))} of {len(catalog)} texts have no translation")  # noqa: T201


def missing(catalog: Catalog) -> list[str]:
    """The texts that have no translation."""
    return [
        str(m.id)
        for m in catalog
        if m.id and not all(m.string if isinstance(m.string, tuple) else [m.string])
    ]


if __name__ == "__main__":
    main()
