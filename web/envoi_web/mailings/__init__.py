"""Mailings: the list, the editor in three steps, and the page of a running mailing."""

from envoi_web.mailings import (  # noqa: F401 (they add their routes)
    behind,
    bulk,
    costing,
    creating,
    editor_dialogs,
    measuring,
    preview,
    running,
    test_message,
    undoing,
    views,
    what,
    when,
    who,
)
from envoi_web.mailings.blueprint import mailings

__all__ = ["mailings"]
