"""Advice on a message before it leaves: what readers would stumble over, none of it forbidden."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import unescape
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from envoi.content.markup import Kind, attributes, tokens
from envoi.errors import EnvoiError
from envoi.library.files import Library
from envoi.mailings.cascade import channel_at, channels_of
from envoi.mailings.content import content_warnings, final_content, naming_step, rendered
from envoi.mailings.macro_advice import macro_warnings
from envoi.mailings.models import Mailing, Variant
from envoi.mailings.review import Check
from envoi.mailings.service import variants_of
from envoi.mailings.text_checks import text_problems
from envoi.plugins import Plugins

CLIPPED_AT = 102 * 1024
"""Bytes of HTML above which Gmail hides the end of a message, with the unsubscribe link."""

_WAY_OUT = "https://envoi.test/unsubscribe"
_HERE = "https://envoi.test"
_UNKNOWN = "No customer has some of the variables, so they stay empty."
_NO_PREHEADER = "There is no preheader. Mail programs show the first words instead."
_SCHEMES = ("http", "https", "mailto", "tel")


def content_checks(
    session: Session, plugins: Plugins, mailing: Mailing, links_url: str = _HERE
) -> list[Check]:
    """Return every piece of advice on the message, each once for all variants of a step.

    A variant that cannot be rendered is left out: `content_problems` says what is wrong.
    """
    found: dict[str, list[str]] = {}
    for step in range(1, 1 + len(channels_of(mailing))):
        for name, problem in _of_step(session, plugins, mailing, step, links_url).items():
            said = naming_step(plugins, mailing, step, problem) if problem else ""
            found.setdefault(name, []).append(said)
    unknown = content_warnings(session, mailing)
    found["variables"] = [_UNKNOWN if unknown else ""]
    if warnings := macro_warnings(session, plugins, mailing):
        found["macros"] = [" ".join(warnings)]
    return [
        Check(name, "what", problem, warning=True)
        for name, problems in found.items()
        for problem in list(filter(None, problems)) or [""]
    ]


def _of_step(
    session: Session, plugins: Plugins, mailing: Mailing, step: int, links_url: str
) -> dict[str, str]:
    """Return what was checked in a step, each with what is wrong in the first such variant."""
    is_counted = plugins.channels[channel_at(mailing, step)].length is not None
    problems: dict[str, str] = {}
    for variant in variants_of(session, mailing):
        if is_counted:
            found = text_problems(session, plugins, mailing, variant, step, links_url)
        else:
            found = _problems(session, plugins, mailing, variant, step)
        for name, problem in found:
            problems[name] = problems.get(name) or problem
    return problems


def _problems(
    session: Session, plugins: Plugins, mailing: Mailing, variant: Variant, step: int
) -> Iterator[tuple[str, str]]:
    channel = channel_at(mailing, step)
    content = final_content(session, plugins, mailing, variant, step)
    if "preheader" in plugins.channels[channel].content_schema.model_fields:
        yield "preheader", "" if content.get("preheader") else _NO_PREHEADER
    library = Library(session, mailing.tenant_id, _HERE)
    try:
        html = rendered(plugins, channel, content, library, {"unsubscribe_url": _WAY_OUT})
    except EnvoiError:
        return
    if "</" in html:
        for name, check in _CHECKS.items():
            yield name, check(html)


def _unsubscribe(html: str) -> str:
    if _WAY_OUT in html:
        return ""
    return (
        "The message has no unsubscribe link. Mail programs show a button of their own, but many"
        " people look for the link. Add a footer."
    )


def _alternatives(html: str) -> str:
    pictures = (t for t in tokens(html) if t.kind is Kind.OPEN and t.name == "img")
    if all(any(a.name == "alt" for a in attributes(html, picture)) for picture in pictures):
        return ""
    return 'A picture has no alternative text. Say what it shows, or write alt="" for decoration.'


def _links(html: str) -> str:
    if all(map(_leads_somewhere, _targets(html))):
        return ""
    return "A link leads nowhere: it is empty, or no address. Enter where it leads."


def _size(html: str) -> str:
    if len(html.encode()) <= CLIPPED_AT:
        return ""
    return (
        "The message is larger than 102 KB. Gmail hides what is beyond that, the unsubscribe link"
        " with it. Make it shorter."
    )


def _targets(html: str) -> Iterator[str]:
    for token in tokens(html):
        if token.kind is Kind.OPEN and token.name == "a":
            for attribute in attributes(html, token):
                if attribute.name == "href":
                    yield unescape(html[attribute.start : attribute.end]).strip()


def _leads_somewhere(target: str) -> bool:
    """Whether an address can be one; those of Envoi itself and of variables are empty here."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return False
    if parts.scheme not in _SCHEMES or " " in target:
        return False
    if parts.scheme in ("mailto", "tel"):
        return bool(parts.path)
    return "." in (parts.hostname or "") or parts.hostname == "localhost"


_CHECKS: dict[str, Callable[[str], str]] = {
    "unsubscribe": _unsubscribe,
    "alternatives": _alternatives,
    "links": _links,
    "size": _size,
}
