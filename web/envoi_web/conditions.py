"""Says conditions in the employee's words; products by their names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from flask_babel import gettext
from sqlalchemy.orm import Session

from envoi.customers.search import product_names
from envoi.plugins import Plugins
from envoi.segments.criteria import Words, in_words
from envoi.segments.tree import Node
from envoi.types import Catalogue
from envoi.webkit import current
from envoi.webkit.formats import day, number

Say = Callable[[Node], str]


def sayer(session: Session, catalogue: Catalogue, plugins: Plugins) -> Say:
    """Return what says nodes of trees, for as long as the session is open."""
    words = Words(
        text=gettext,
        number=number,
        day=day,
        products=partial(product_names, session, current.tenant_id),
    )
    return lambda node: in_words(node, catalogue, plugins, words=words)
