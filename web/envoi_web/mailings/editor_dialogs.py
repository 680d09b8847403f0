"""What the dialogs of the content editor offer: variables, customers, pictures, products, files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, request, url_for
from flask_babel import get_locale, lazy_gettext
from flask_babel import gettext as _
from sqlalchemy import or_, select
from sqlalchemy.orm import Session
from werkzeug.datastructures import FileStorage

from envoi.customers.models import CustomField
from envoi.customers.queries import list_customers
from envoi.customers.search import CustomerFilter
from envoi.db import table
from envoi.delivery.recipients import PROPERTIES
from envoi.errors import NotFoundError, Problem, ValidationFailedError
from envoi.library.attachments import MAX_BYTES as LARGEST_ATTACHMENT
from envoi.library.pictures import MAX_BYTES as LARGEST_PICTURE
from envoi.library.queries import find_files
from envoi.library.service import (
    ATTACHMENT,
    IMAGE,
    check_attachments,
    get_file,
    store_attachment,
    store_picture,
)
from envoi.library.templates import list_templates, starting_templates
from envoi.mailings import service, variants
from envoi.mailings.cascade import channel_at
from envoi.mailings.content import sample_variables
from envoi.mailings.models import Mailing
from envoi.receipts.models import Product
from envoi.types import ChannelSpec
from envoi.webkit import allowed, current, page, permission, see_other, toast
from envoi.webkit.formats import translated
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.context import crumbs
from envoi_web.mailings.macro_offers import macro_offers

_PROPERTY_LABELS = {
    "full_name": lazy_gettext("Full name"),
    "first_name": lazy_gettext("First name"),
    "middle_name": lazy_gettext("Middle name"),
    "last_name": lazy_gettext("Last name"),
    "gender": lazy_gettext("Gender"),
    "birth_date": lazy_gettext("Date of birth"),
    "register_date": lazy_gettext("Registered on"),
    "city": lazy_gettext("City"),
    "email": lazy_gettext("Email"),
    "phone": lazy_gettext("Phone"),
    "external_id": lazy_gettext("Customer number"),
    "order_cnt": lazy_gettext("Number of receipts"),
    "order_sum": lazy_gettext("Total of receipts"),
}
_LINKS = {
    "unsubscribe_url": lazy_gettext("Address of the unsubscribe page"),
    "preferences_url": lazy_gettext("Address of the preferences"),
    "view_url": lazy_gettext("Address of the view in a browser"),
}
_OFFERS = ("variable_list", "found_customers", "picture_list", "product_list", "template_list")
_MOST_OFFERED = 24


@mailings.get("/<int:mailing_id>/variables")
@permission("mailings.content")
def variables(mailing_id: int) -> Response:
    """Offer every variable, with the value that the chosen customer has."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        sample = _sample(session, mailing, request.args.get("customer", None, type=int))
        return _dialog(mailing, "variable_list", groups=_groups(session, mailing, sample))


@mailings.get("/<int:mailing_id>/found-customers")
@permission("customers.view")
def found_customers(mailing_id: int) -> Response:
    """Find customers to look at the message as they will."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        text = request.args.get("q", "").strip()[:100]
        wanted = CustomerFilter(text=text)
        found = list_customers(session, mailing.tenant_id, wanted, size=20) if text else None
        return _dialog(mailing, "found_customers", found=found, wanted=text)


@mailings.get("/<int:mailing_id>/pictures")
@permission("mailings.content")
def pictures(mailing_id: int) -> Response:
    """Offer the pictures of the library."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        return _pictures(session, mailing)


@mailings.post("/<int:mailing_id>/pictures")
@permission("templates.edit")
def upload_picture(mailing_id: int) -> Response:
    """Put a picture into the library and offer it."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        problem = ""
        try:
            upload = _uploaded()
            store_picture(
                session,
                mailing.tenant_id,
                name=upload.filename or "",
                data=upload.stream.read(LARGEST_PICTURE + 1),
                alt=request.form.get("alt", ""),
                account_id=current.account_id,
            )
        except ValidationFailedError as error:
            problem = str(error)
        return _pictures(session, mailing, problem)


@mailings.get("/pictures/<int:file_id>")
@permission("mailings.view")
def picture(file_id: int) -> Response:
    """Show a picture of the library in our own pages."""
    with current.session() as session:
        found = get_file(session, current.tenant_id, file_id)
        if found.kind == ATTACHMENT:
            raise NotFoundError("There is no such picture. It may have been deleted.")
        response = Response(found.data, mimetype=found.media_type)
    response.headers["Cache-Control"] = "private, max-age=86400"
    return response


@mailings.get("/<int:mailing_id>/products")
@permission("mailings.content")
def products(mailing_id: int) -> Response:
    """Offer products by name or number."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        text = request.args.get("q", "").strip()[:100]
        found = _find_products(session, mailing.tenant_id, text)
        return _dialog(mailing, "product_list", products=found, wanted=text)


@mailings.get("/<int:mailing_id>/templates")
@permission("templates.view")
def choose_template(mailing_id: int) -> Response:
    """Offer the templates of the channel: those that come with Envoi, and the company's."""
    text = request.args.get("q", "").strip()[:100]
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        channel = _channel(mailing)
        own, total = list_templates(session, mailing.tenant_id, text=text, channel=channel.name)
        built_in = [
            template
            for template in starting_templates(str(get_locale() or "en"))
            if template.channel == channel.name and text.lower() in template.name.lower()
        ]
        return _dialog(
            mailing,
            "template_list",
            own=own,
            total=total,
            built_in=built_in,
            wanted=text,
            variant=request.args.get("variant", 1, type=int),
        )


@mailings.post("/<int:mailing_id>/attachments")
@permission("mailings.content")
def attach(mailing_id: int) -> Response:
    """Attach an uploaded file to a variant's step."""
    number, step = request.form.get("variant", 1, type=int), request.form.get("step", 1, type=int)
    with current.session() as session:
        mailing = service.editable_draft(session, current.tenant_id, mailing_id)
        try:
            _attached(session, mailing, number, step)
        except ValidationFailedError as error:
            toast(translated(str(error)))
    return see_other(url_for("mailings.what", mailing_id=mailing_id, variant=number, step=step))


def _attached(session: Session, mailing: Mailing, number: int, step: int) -> None:
    content = variants.content_at(variants.get_variant(session, mailing, number), step)
    upload = _uploaded()
    with session.begin_nested():
        stored = store_attachment(
            session,
            mailing.tenant_id,
            name=upload.filename or "",
            data=upload.stream.read(LARGEST_ATTACHMENT + 1),
            account_id=current.account_id,
        )
        attached = list(dict.fromkeys([*content.get("attachments", []), stored.id]))
        check_attachments(session, mailing.tenant_id, attached)
    variants.save_content(
        session,
        mailing.tenant_id,
        mailing.id,
        mailing.version,
        {"attachments": attached},
        number,
        current.account_id,
        step=step,
    )
    toast(_("Attached: %(name)s", name=stored.name))


def _uploaded() -> FileStorage:
    upload = request.files.get("file")
    if upload is None or not upload.filename:
        raise ValidationFailedError([Problem("", "There is no file. Choose one.")])
    return upload


def _pictures(session: Session, mailing: Mailing, problem: str = "") -> Response:
    text = request.values.get("q", "").strip()[:100]
    found, total = find_files(session, mailing.tenant_id, IMAGE, text=text, limit=_MOST_OFFERED)
    return _dialog(
        mailing, "picture_list", pictures=found, total=total, wanted=text, problem=problem
    )


def _find_products(session: Session, tenant_id: int, text: str) -> list[Product]:
    c = table(Product).c
    query = select(Product).where(c.tenant_id == tenant_id)
    if text:
        named = c.name.icontains(text, autoescape=True)
        query = query.where(or_(named, c.external_id == text))
    return list(session.scalars(query.order_by(c.id).limit(_MOST_OFFERED)))


def _channel(mailing: Mailing) -> ChannelSpec:
    """The channel of the step that the dialog is for."""
    return current.plugins.channels[channel_at(mailing, request.values.get("step", 1, type=int))]


def _dialog(mailing: Mailing, block: str, **context: Any) -> Response:
    return page(
        "mailings/what/offers.html",
        fragments=_OFFERS,
        mailing=mailing,
        shown=block,
        step=request.values.get("step", 1, type=int),
        schema=_channel(mailing).content_schema.model_fields,
        crumbs=crumbs(mailing.name, mailing.channel),
        **context,
    )


def _sample(session: Session, mailing: Mailing, customer: int | None) -> Mapping[str, Any]:
    if customer is None or not allowed("customers.view"):
        return {}
    contacts = allowed("customers.contacts")
    try:
        variables = sample_variables(session, current.plugins, mailing, customer, contacts=contacts)
    except NotFoundError:
        return {}
    client: Mapping[str, Any] = variables["client"]
    return client


def _groups(
    session: Session, mailing: Mailing, sample: Mapping[str, Any]
) -> list[tuple[str, list[tuple[str, str, Any]]]]:
    """Every variable with its label and the customer's value, in groups."""
    values, own = sample.get("properties", {}), sample.get("fields", {})
    properties = [
        (f"client.properties.{name}", str(_PROPERTY_LABELS.get(name, name)), values.get(name))
        for name in PROPERTIES
    ]
    c = table(CustomField).c
    query = select(c.code, c.label).where(c.tenant_id == mailing.tenant_id).order_by(c.position)
    fields = [
        (f"client.fields.{code}", label or code, own.get(code))
        for code, label in session.execute(query)
    ]
    links = [(name, str(label), "") for name, label in _LINKS.items()]
    groups = [
        (_("Customer"), properties),
        (_("Custom fields"), fields),
        (_("Macros"), macro_offers(session)),
        (_("Links"), links),
    ]
    return [(str(label), found) for label, found in groups if found]
