"""Pages of promo codes: a group, its codes, who may what, and their place in the menu."""

from __future__ import annotations

from io import BytesIO

import pytest

from desk import Desk
from envoi.accounts.permissions import Role
from envoi.db import Database
from envoi.sending import MacroRequest
from envoi_module_promo_codes import groups, issuing
from factories.customers import customer_ids, make_customers
from pages import SignIn


@pytest.fixture
def marketer(signed_in: SignIn) -> Desk:
    return Desk(signed_in(Role.MARKETER))


@pytest.fixture
def address(marketer: Desk) -> str:
    """A group that the marketer has made."""
    made = marketer.post("/promo-codes/", name="Spring")
    assert made.status == 303
    return str(made.answer.location)


def test_the_menu_leads_to_the_groups_whoever_may_see_them(signed_in: SignIn) -> None:
    assert 'href="/promo-codes/"' in Desk(signed_in(Role.ANALYST)).get("/own/").source
    operator = Desk(signed_in(Role.OPERATOR))
    assert "/promo-codes/" not in operator.get("/own/").source
    assert operator.get("/promo-codes/").status == 403


def test_a_group_is_made_filled_and_counted(marketer: Desk, address: str) -> None:
    assert "0 Remaining" not in marketer.get("/promo-codes/").words
    file = (BytesIO(b"\xef\xbb\xbfC\nA\n"), "codes.txt")
    assert marketer.post(f"{address}/codes", codes="A\r\nB\r\n", file=file).status == 303
    assert "3 codes were added." in marketer.get(address).words
    assert marketer.post(f"{address}/codes", codes="A\nD").status == 303
    assert "1 code was added. 1 were there already." in marketer.get(address).words
    made = marketer.post(f"{address}/generate", format="{string('0-9', 4)}", quantity=50)
    assert made.status == 303
    assert "50 codes were added." in marketer.get(address).words
    assert marketer.post(f"{address}/block", blocked="A\nnobody").status == 303
    page = marketer.get(address).words
    assert "1 code is blocked." in page
    assert "Codes 54 Remaining 53 Issued 0 Sent 0 Blocked 1" in page
    assert "{{ promo_code(&#34;Spring&#34;) }}" in marketer.get(address).source
    assert marketer.post(f"{address}/unblock").status == 303
    assert "1 code is free again." in marketer.get(address).words


@pytest.mark.parametrize(
    ("action", "fields", "said"),
    [
        ("/codes", {"codes": ""}, "There are no codes."),
        ("/codes", {"codes": "two words"}, "Line 1 is no code"),
        ("/generate", {"format": "{x}", "quantity": 5}, "Write parts as"),
        ("/generate", {"format": "{string('0-9', 1)}", "quantity": 11}, "has only 10 codes"),
        ("/generate", {"format": "{string('0-9', 1)}", "quantity": "many"}, "codes can be added"),
        ("", {"name": "", "expires_on": ""}, "Enter a name of 1 to 60"),
        ("", {"name": "Spring", "expires_on": "31.12."}, "Enter a date, such as"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    marketer: Desk, address: str, action: str, fields: dict[str, str], said: str
) -> None:
    answer = marketer.post(address + action, **fields)
    assert answer.status == 422
    assert answer.words.count(said) == 2, "in the summary and at the field"


def test_two_groups_have_two_names(marketer: Desk, address: str) -> None:
    again = marketer.post("/promo-codes/", name="Spring")
    assert again.status == 422
    assert "There is a group named Spring already." in again.words
    assert marketer.post(address, name="Summer", expires_on="2030-05-01").status == 303
    assert "Summer" in marketer.get("/promo-codes/").words


def test_who_may_only_look_changes_nothing(
    signed_in: SignIn, address: str, database: Database, tenant_id: int
) -> None:
    analyst = Desk(signed_in(Role.ANALYST))
    assert "Add codes" not in analyst.get(address).words
    for action in ("", "/codes", "/generate", "/block", "/unblock", "/delete"):
        assert analyst.post(address + action, codes="X", name="Taken").status == 403
    with database.tenant_session(tenant_id) as session:
        assert [(g.name, g.total) for g in groups.list_groups(session, tenant_id)] == [
            ("Spring", 0)
        ]


def test_a_group_that_is_deleted_is_gone(marketer: Desk, address: str) -> None:
    assert marketer.post(f"{address}/delete").status == 303
    assert marketer.get(address).status == 404
    assert "No promo codes yet" in marketer.get("/promo-codes/").words


def test_a_group_that_runs_out_is_marked(marketer: Desk, signed_in: SignIn, address: str) -> None:
    marketer.post(f"{address}/generate", format="{string('0-9', 4)}", quantity=50)
    assert "50 Few left" in marketer.get("/promo-codes/").words
    administrator = Desk(signed_in(Role.ADMINISTRATOR))
    settings = "/settings/plugins/module-promo-codes/settings"
    administrator.post(settings, form="promo_codes", **{"promo_codes.few": "50"})
    assert "Few left" not in marketer.get("/promo-codes/").words


def test_the_codes_of_a_customer_stand_on_their_page(
    marketer: Desk, signed_in: SignIn, address: str, database: Database, tenant_id: int
) -> None:
    marketer.post(f"{address}/codes", codes="A1\nA2")
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 2)
        first, second = customer_ids(session, tenant_id)
    with database.tenant_connection(tenant_id) as connection:
        request = MacroRequest(
            connection=connection,
            tenant_id=tenant_id,
            run_id=1,
            mailing_id=None,
            argument="Spring",
            customer_ids=[first],
        )
        issuing.issue(request)
    assert "Spring A1 Issued" in marketer.get(f"/customers/{first}").words
    assert "Spring A" not in marketer.get(f"/customers/{second}").words
    operator = Desk(signed_in(Role.OPERATOR))
    assert "A1" not in operator.get(f"/customers/{first}").words, "they may not see promo codes"
