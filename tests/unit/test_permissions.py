"""The one table of who may do what."""

from __future__ import annotations

import pytest

from envoi.accounts.permissions import OWN_ONLY, PERMISSIONS, ROLE_PERMISSIONS, Role, allows


def test_every_role_has_permissions_and_none_is_unknown() -> None:
    assert set(ROLE_PERMISSIONS) == set(Role)
    assert all(names and names <= PERMISSIONS for names in ROLE_PERMISSIONS.values())


def test_an_administrator_may_do_everything_a_person_may() -> None:
    people = [role for role in Role if role is not Role.API]
    everything = frozenset().union(*(ROLE_PERMISSIONS[role] for role in people))
    assert ROLE_PERMISSIONS[Role.ADMINISTRATOR] == everything


@pytest.mark.parametrize(
    ("role", "permission", "answer"),
    [
        (Role.MARKETER, "mailings.start", True),
        (Role.MARKETER, "mailings.start_large", False),
        (Role.ANALYST, "mailings.edit", False),
        (Role.DESIGNER, "mailings.content", True),
        (Role.OPERATOR, "mailings.view", False),
        (Role.API, "own.settings", False),
    ],
)
def test_who_may_do_what(role: Role, permission: str, answer: bool) -> None:
    assert allows(role, permission) is answer


def test_what_is_allowed_for_own_things_is_allowed_at_all() -> None:
    assert all(allows(role, permission) for role, permission in OWN_ONLY)


def test_a_misspelt_permission_is_a_bug() -> None:
    with pytest.raises(ValueError, match=r"mailings\.veiw"):
        allows(Role.ADMINISTRATOR, "mailings.veiw")
