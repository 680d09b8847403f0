"""A company that has one of everything, with an administrator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from uuid import uuid4

from PIL import Image
from sqlalchemy.orm import Session

from envoi.accounts.permissions import Role
from envoi.accounts.service import create_account, set_role
from envoi.api.keys import keys_of, make_key
from envoi.customers import mapping as columns
from envoi.customers.devices import register
from envoi.customers.field_settings import FieldForm, create_field
from envoi.customers.import_kinds import ImportKind
from envoi.customers.imports import create_import
from envoi.customers.models import FieldType
from envoi.customers.saved_mappings import save_mapping, saved_mappings
from envoi.db import Database
from envoi.delivery.models import MessageState
from envoi.exports.kinds import SEGMENT_CUSTOMERS
from envoi.exports.service import request_export, run_export
from envoi.feedback.models import Door, Inbound, InboundState
from envoi.library.service import store_picture
from envoi.library.templates import create_template
from envoi.mailings import service, variants
from envoi.plugins import Plugins
from envoi.policies.service import create_policy
from envoi.segments.service import create_segment
from envoi.subscriptions.categories import save_category
from envoi.target_audiences.service import change_by_segment, create_audience
from envoi.tenants.service import create_tenant
from envoi.tenants.watchers import save_watcher_group
from envoi_module_promo_codes.groups import create_group
from factories.customers import customer_ids, index_customers, make_customers
from factories.delivery import an_installation, email_content, smtp_gateway
from ledger_rows import NOW, add_messages, add_receipt, add_run
from pages import PASSWORD

RULE = {
    "kind": "frequency_cap",
    "settings": {"most": 2, "period": 1, "unit": "week", "over_limit": "drop"},
}

TREE = {"all": [{"source": "all_customers", "settings": {}}]}
CUSTOMERS = 20


def a_picture() -> bytes:
    """A small picture."""
    out = BytesIO()
    Image.new("RGB", (4, 3)).save(out, "PNG")
    return out.getvalue()


@dataclass(frozen=True)
class Company:
    """A company with one of everything; its word stands in every name."""

    tenant_id: int
    word: str
    email: str
    numbers: Mapping[str, tuple[int, ...]]
    """What a company owns, by the name that routes use."""


def founded(database: Database, plugins: Plugins, folder: Path, word: str) -> Company:
    """Found a company whose everything is called by a word of its own."""
    slug = f"{word.lower()}-{uuid4().hex[:8]}"
    tenant_id = create_tenant(database, slug=slug, name=word).id
    email = f"anna@{slug}.example"
    account = create_account(database, email=email, password=PASSWORD, name=word, language="en")
    set_role(database, tenant_id=tenant_id, account_id=account, role=Role.ADMINISTRATOR)
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, CUSTOMERS, prefix=f"{word}-")
        index_customers(session.connection(), tenant_id)
        people = customer_ids(session, tenant_id)
        register(session, tenant_id, people[0], service="fcm", token=word, name=word)
        site = an_installation(database, plugins, folder)
        gateway = smtp_gateway(session, site, tenant_id, 25)
        segment = create_segment(session, tenant_id, name=word, tree=TREE, plugins=plugins)
        policy = create_policy(session, plugins, tenant_id, name=word, rules=[RULE])
        imported = create_import(
            session, tenant_id, ImportKind.CUSTOMERS, f"{word}.csv", folder / "file.csv"
        )
        draft = service.create_draft(
            session, tenant_id, channel="email", name=word, segment_id=segment.id
        )
        content = email_content(subject=word)
        variants.save_content(session, tenant_id, draft.id, draft.version, content)
        changes = {"control_share": 20.0, "strata": ["gender"]}
        service.update_mailing(session, tenant_id, draft.id, draft.version, changes)
        mapping = columns.Mapping(columns=("external_id",))
        save_mapping(session, tenant_id, ImportKind.CUSTOMERS, word, [word], mapping)
        saved = saved_mappings(session, tenant_id, ImportKind.CUSTOMERS)
        field = create_field(session, tenant_id, FieldForm(label=word, type=FieldType.TEXT))
        image = store_picture(session, tenant_id, name=f"{word}.png", data=a_picture())
        template = create_template(
            session, tenant_id, channel="email", name=word, content={"blocks": []}
        )
        audience = create_audience(session, tenant_id, word, account)
        change_by_segment(session, tenant_id, audience.id, TREE, add=True, plugins=plugins)
        listed = create_import(
            session, tenant_id, ImportKind.AUDIENCE, f"{word}-list.csv", folder / "list.csv"
        )
        category = save_category(session, tenant_id, None, code="news", name=word)
        watchers = save_watcher_group(session, tenant_id, None, name=word, addresses={})
        params = {"segment": segment.id}
        export = request_export(session, tenant_id, SEGMENT_CUSTOMERS, params, account, name=word)
        numbers: dict[str, tuple[int, ...]] = {
            "mapping_id": (saved[0].id,),
            "customer_id": (people[0],),
            "segment_id": (segment.id,),
            "policy_id": (policy.id,),
            "field_id": (field,),
            "file_id": (image.id,),
            "template_id": (template.id,),
            "import_id": (imported, listed),
            "audience_id": (audience.id,),
            "export_id": (export.id,),
            "category_id": (category.id,),
            "group_id": (watchers.id,),
            "promo_group_id": (create_group(session, tenant_id, word),),
            "gateway_id": (gateway,),
            "key_id": (_api_key(session, tenant_id, word),),
            "inbound_id": (_came_in(session, tenant_id, word),),
        }
    run_export(site, tenant_id, export.id)
    sent = [{"number": 1, "share": 100.0, "content": email_content(subject=word)}]
    links = {1: f"https://{word}.test/"}
    run = add_run(database, tenant_id, links=links, control_share=20, variants=sent)
    add_messages(database, run, people[4:])
    add_messages(database, run, people[:4], state=MessageState.CONTROL)
    add_receipt(database, tenant_id, people[0], NOW)
    mailings: dict[str, tuple[int, ...]] = {"mailing_id": (draft.id, run.mailing_id)}
    return Company(tenant_id, word, email, numbers | mailings)


def _api_key(session: Session, tenant_id: int, word: str) -> int:
    make_key(session, tenant_id, word, None)
    return keys_of(session, tenant_id)[0].id


def _came_in(session: Session, tenant_id: int, word: str) -> int:
    """Something in quarantine."""
    found = Inbound(
        tenant_id=tenant_id,
        door=Door.LISTENER,
        state=InboundState.QUARANTINED,
        digest=word,
        recipient=f"b@{word}.test",
        reason="no_report",
        raw=f"Subject: {word}".encode(),
    )
    session.add(found)
    session.flush()
    return found.id
