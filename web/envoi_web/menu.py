"""The left menu: every section in the reference order, shown once its pages exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flask import current_app, request, url_for
from flask_babel import LazyString
from flask_babel import lazy_gettext as _

from envoi.webkit import Employee, allowed, current
from envoi.webkit.access import PUBLIC, access_of
from envoi.webkit.formats import translated


@dataclass(frozen=True)
class Entry:
    """A page of the menu by its endpoint; the view itself declares who may see it.

    `plugin` is the one that a company must have on; "" for pages of Envoi itself.
    """

    label: LazyString | str
    endpoint: str
    plugin: str = ""


@dataclass(frozen=True)
class Section:
    """A section with its pages; one page alone makes a plain link. Plugins add theirs by `name`."""

    name: str
    label: LazyString
    icon: str
    entries: tuple[Entry, ...] = ()


SECTIONS = (
    Section("summary", _("Summary"), "layout-dashboard", (Entry(_("Summary"), "summary.index"),)),
    Section(
        "customers",
        _("Customers"),
        "users",
        (
            Entry(_("All customers"), "customers.index"),
            Entry(_("User segments"), "segments.index"),
            Entry(_("RFM segments"), "rfm.index"),
            Entry(_("Target audiences"), "audiences.index"),
            Entry(_("Import"), "imports.index"),
        ),
    ),
    Section(
        "campaigns",
        _("Campaigns"),
        "route",
        (
            Entry(_("Campaigns"), "campaigns.index"),
            Entry(_("Instant campaigns"), "instant_campaigns.index"),
        ),
    ),
    Section(
        "mailings",
        _("Mass messaging"),
        "send",
        (
            Entry(_("Mailings"), "mailings.index"),
            Entry(_("Messaging calendar"), "calendar.index"),
            Entry(_("Templates"), "templates.index"),
            Entry(_("Images"), "images.index"),
            Entry(_("Contact quality"), "contact_quality.index"),
        ),
    ),
    Section("polls", _("Polls"), "clipboard-text", (Entry(_("Polls"), "polls.index"),)),
    Section("promo_codes", _("Promo codes"), "ticket"),
    Section(
        "control",
        _("Control groups"),
        "scale",
        (
            Entry(_("Running"), "control_groups.index"),
            Entry(_("Global control group"), "control_groups.global_group"),
        ),
    ),
    Section(
        "settings",
        _("Settings"),
        "settings",
        (
            Entry(_("General"), "settings.general"),
            Entry(_("Plugins"), "plugins_page.index"),
            Entry(_("Gateways"), "settings.gateways"),
            Entry(_("Bounces and complaints"), "settings.bounces"),
            Entry(_("Operations"), "settings.operations"),
            Entry(_("Communication policies"), "policies.index"),
            Entry(_("Mailing categories"), "settings.categories"),
            Entry(_("Watchers"), "settings.watchers"),
            Entry(_("Fields"), "settings.fields"),
            Entry(_("Dictionaries"), "settings.dictionaries"),
            Entry(_("Design"), "settings.design"),
            Entry(_("Employees"), "settings.employees"),
            Entry(_("Permissions"), "settings.permissions"),
            Entry(_("API keys"), "settings.api_keys"),
            Entry(_("History of actions"), "settings.history"),
            Entry(_("Mailbox"), "demo.mailbox"),
            Entry(_("Virtual phone"), "demo.phone"),
        ),
    ),
)


@dataclass(frozen=True)
class MenuItem:
    """A link below a section."""

    label: str
    url: str
    open: bool


@dataclass(frozen=True)
class MenuSection:
    """A section as the page shows it; only the open one shows its items."""

    label: str
    icon: str
    url: str
    open: bool
    items: tuple[MenuItem, ...]


def menu_for(employee: Employee | None) -> list[MenuSection]:
    """Make the menu of what exists and what the employee's role may see."""
    if employee is None:
        return []
    sections = _sections()
    here = _open_url(sections)
    return [shown for section in sections if (shown := _shown(section, here))]


def places(menu: list[MenuSection]) -> list[tuple[str, str]]:
    """Where the page stands by the menu: the default breadcrumb."""
    section = next((section for section in menu if section.open), None)
    if section is None:
        return []
    items = [(item.label, item.url) for item in section.items if item.open]
    return [(section.label, section.url), *items]


def first_page(employee: Employee | None) -> str:
    """The address of the first section the role may see."""
    menu = menu_for(employee)
    return menu[0].url if menu else url_for("own.settings")


def _sections() -> list[Section]:
    """The menu with the items of plugins below those of Envoi, by label."""
    more: dict[str, list[Entry]] = {}
    for name, item in current.plugins.menu_items.items():
        plugin = current.plugins.owner("menu item", name)
        entry = Entry(translated(item.label), item.endpoint, plugin)
        more.setdefault(item.section, []).append(entry)
    return [
        replace(
            section, entries=(*section.entries, *sorted(more.get(section.name, ()), key=_label))
        )
        for section in SECTIONS
    ]


def _label(entry: Entry) -> str:
    return str(entry.label).casefold()


def _visible(entry: Entry) -> bool:
    if entry.endpoint not in current_app.view_functions:
        return False
    if entry.endpoint.startswith("demo.") and not current.settings.demo:
        return False
    if entry.plugin and not current.has_plugin(entry.plugin):
        return False
    access = access_of(current_app, entry.endpoint)
    return access == PUBLIC or (access is not None and allowed(access))


def _open_url(sections: Sequence[Section]) -> str:
    """The longest address of the menu that this page's address begins with."""
    urls = [
        url_for(entry.endpoint)
        for section in sections
        for entry in section.entries
        if entry.endpoint in current_app.view_functions
    ]
    above = [url for url in urls if f"{request.path}/".startswith(f"{url.rstrip('/')}/")]
    return max(above, key=len, default="")


def _shown(section: Section, here: str) -> MenuSection | None:
    items = tuple(
        MenuItem(str(entry.label), url, url == here)
        for entry in section.entries
        if _visible(entry) and (url := url_for(entry.endpoint))
    )
    if not items:
        return None
    alone = len(section.entries) == 1
    return MenuSection(
        label=str(section.label),
        icon=section.icon,
        url=items[0].url,
        open=any(item.open for item in items),
        items=() if alone else items,
    )
