"""The pages of Envoi, registered through the same door as a partner's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pluggy import HookimplMarker

if TYPE_CHECKING:
    from flask import Blueprint

hookimpl = HookimplMarker("envoi")


@hookimpl
def register_blueprints() -> Iterable[Blueprint]:
    """Bring the shell and every area's pages."""
    # Every process loads this plugin, and senders do without pages: they are 17 MB.
    from envoi_web.audiences import audiences
    from envoi_web.calendar import calendar
    from envoi_web.customers import customers, imports
    from envoi_web.demo import demo
    from envoi_web.exports import exports
    from envoi_web.help import help_pages
    from envoi_web.library import images, templates
    from envoi_web.mailings import mailings
    from envoi_web.own.views import own
    from envoi_web.plugins_page import plugins_page
    from envoi_web.policies import policies
    from envoi_web.reports import reports
    from envoi_web.segments import segments
    from envoi_web.settings_pages import settings
    from envoi_web.shell import shell
    from envoi_web.summary import summary

    return [
        shell,
        own,
        summary,
        help_pages,
        audiences,
        customers,
        imports,
        mailings,
        calendar,
        templates,
        images,
        demo,
        exports,
        policies,
        plugins_page,
        reports,
        segments,
        settings,
    ]
