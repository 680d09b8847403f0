"""Which role may do what: the one table behind every check and the Permissions page."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """The role of an employee in a company; API is the upper bound of keys, which have no pages."""

    ADMINISTRATOR = "administrator"
    SENIOR_MARKETER = "senior_marketer"
    MARKETER = "marketer"
    DESIGNER = "designer"
    ANALYST = "analyst"
    OPERATOR = "operator"
    API = "api"


_LETTERS = {
    "A": Role.ADMINISTRATOR,
    "S": Role.SENIOR_MARKETER,
    "M": Role.MARKETER,
    "D": Role.DESIGNER,
    "N": Role.ANALYST,
    "O": Role.OPERATOR,
    "K": Role.API,
}

# One line a permission, so that the table reads like the one in the documentation.
_TABLE = {
    "summary.view": "ASMN",
    "customers.view": "ASMOK",
    "customers.contacts": "ASOK",
    "customers.edit": "AK",
    "customers.subscriptions": "ASOK",
    "customers.import": "ASK",
    "customers.export": "AS",
    "customers.erase": "AK",
    "segments.view": "ASMDNK",
    "segments.samples": "ASM",
    "segments.edit": "ASMK",
    "audiences.view": "ASMNK",
    "audiences.edit": "ASMK",
    "rfm.view": "ASMN",
    "campaigns.view": "ASMN",
    "campaigns.edit": "ASM",
    "campaigns.activate": "AS",
    "mailings.view": "ASMDNK",
    "mailings.edit": "ASMK",
    "mailings.content": "ASMDK",
    "mailings.test": "ASMD",
    "mailings.start": "ASMK",
    "mailings.start_large": "AS",
    "mailings.pause": "ASMK",
    "mailings.cancel": "ASM",
    "mailings.delete": "ASM",
    "mailings.reschedule": "ASM",
    "mailings.skip_window": "AS",
    "templates.view": "ASMD",
    "templates.edit": "ASMD",
    "reports.view": "ASMNK",
    "reports.sales": "ASN",
    "reports.export": "ASMNK",
    "reports.customers": "ASM",
    "control.view": "ASMN",
    "control.global": "AS",
    "policies.view": "ASMN",
    "policies.edit": "AS",
    "categories.edit": "AS",
    "watchers.edit": "ASM",
    "polls.view": "ASMDN",
    "polls.edit": "ASM",
    "polls.design": "ASMD",
    "promo.view": "ASMN",
    "promo.edit": "ASM",
    "promo.upload": "ASMK",
    "design.edit": "ASD",
    "settings.general": "A",
    "settings.data": "A",
    "settings.dictionaries": "AS",
    "settings.plugins": "A",
    "settings.gateway_health": "ASM",
    "settings.employees": "A",
    "settings.api_keys": "A",
    "settings.history": "A",
    "demo.phone": "ASMD",
    "api.messages": "K",
    "own.settings": "ASMDNO",
}

OWN_ONLY = frozenset({(Role.MARKETER, "mailings.cancel"), (Role.MARKETER, "mailings.delete")})
"""Pairs where a role may act only on what the employee created; the service checks the author."""

PERMISSIONS = frozenset(_TABLE)

ROLE_PERMISSIONS: dict[Role, frozenset[str]] = {
    role: frozenset(name for name, letters in _TABLE.items() if letter in letters)
    for letter, role in _LETTERS.items()
}


def allows(role: Role, permission: str) -> bool:
    """Tell whether a role includes a permission; an unknown permission is a bug."""
    if permission not in PERMISSIONS:
        raise ValueError(f"there is no permission {permission!r}")
    return permission in ROLE_PERMISSIONS[role]
