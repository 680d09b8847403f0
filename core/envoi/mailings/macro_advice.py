"""What the macros of a message warn of before it is sent to so many."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import product

from sqlalchemy.orm import Session

from envoi.audience.volume import Volume
from envoi.content.kit import Kit
from envoi.content.macros import MacroCall
from envoi.errors import EnvoiError
from envoi.library.files import Library
from envoi.mailings.cascade import channels_of
from envoi.mailings.content import CHECKED_WITH, final_content
from envoi.mailings.models import Mailing, Variant
from envoi.mailings.service import variants_of
from envoi.mailings.variants import validate_content
from envoi.operations.plugin_errors import asked
from envoi.plugins import Plugins, fence
from envoi.sending import MacroCheck


def macro_warnings(session: Session, plugins: Plugins, mailing: Mailing) -> list[str]:
    """Return what the macros of all variants and steps say; a broken variant says nothing."""
    found = [
        # Advice that cannot be had keeps nobody from looking at the rest.
        asked(
            session,
            plugins,
            mailing.tenant_id,
            ("macro", call.name),
            partial(_warn, session, plugins, mailing, call),
        )
        for call in sorted(set(_calls(session, plugins, mailing)))
    ]
    return [str(words) for words in found if words]


def _warn(session: Session, plugins: Plugins, mailing: Mailing, call: MacroCall) -> str:
    volume = Volume.from_document(mailing.volume)
    check = MacroCheck(
        connection=session.connection(),
        tenant_id=mailing.tenant_id,
        argument=call.argument,
        recipients=volume.recipients if volume else 0,
    )
    return plugins.macros[call.name].warn(check)


def _calls(session: Session, plugins: Plugins, mailing: Mailing) -> Iterator[MacroCall]:
    steps = enumerate(channels_of(mailing), start=1)
    # Compiling takes its time, and few messages name a macro.
    naming = [v for v in variants_of(session, mailing) if _names_one(plugins, v)]
    for variant, (step, channel) in product(naming, steps):
        kit = Kit(Library(session, mailing.tenant_id, ""), plugins.macros)
        with suppress(EnvoiError):
            final = final_content(session, plugins, mailing, variant, step)
            content = validate_content(plugins, channel, final)
            compiled = partial(plugins.channels[channel].compile, content, CHECKED_WITH, kit)
            fence(plugins, "channel", channel, compiled)
            yield from kit.calls


def _names_one(plugins: Plugins, variant: Variant) -> bool:
    written = json.dumps([variant.content, variant.steps])
    return any(name in written for name in plugins.macros)
