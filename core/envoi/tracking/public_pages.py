"""The frame of the pages that customers see: the company's look around our templates."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.library.addresses import picture_path
from envoi.library.models import StoredFile
from envoi.tenants.design import Design, PageWords, design_of, on_dark
from envoi.tenants.models import Tenant, TenantSettings
from envoi.tracking.answers import Answer, page
from envoi.tracking.translations import LANGUAGES, translations


@dataclass(frozen=True, kw_only=True)
class Brand:
    """What of a company its public pages show."""

    company: str
    language: str
    accent: str
    accent_on_dark: str
    logo: str
    words: PageWords
    address: str


def brand_of(session: Session, tenant_id: int, design: Design | None = None) -> Brand:
    """Return a company's brand; `design` shows one that is not published yet."""
    tenant, settings = table(Tenant).c, table(TenantSettings).c
    row = session.execute(
        select(tenant.name, settings.locale, settings.postal_address)
        .join_from(table(Tenant), table(TenantSettings), settings.tenant_id == tenant.id)
        .where(tenant.id == tenant_id)
    ).one()
    look = design or design_of(session, tenant_id)
    return Brand(
        company=row.name,
        language=row.locale,
        accent=look.accent,
        accent_on_dark=on_dark(look.accent),
        logo=_logo(session, tenant_id, look.logo_id),
        words=look.words_in(row.locale),
        address=row.postal_address,
    )


class PublicPages:
    """The templates of public pages, in every language that there is."""

    def __init__(self) -> None:
        self._pages = {language: _templates(language) for language in LANGUAGES}

    def answer(self, template: str, brand: Brand, **context: object) -> Answer:
        """Make the answer that shows a page; its one style sheet of its own carries a nonce."""
        nonce = secrets.token_urlsafe(12)
        return page(self.html(template, brand, nonce, **context), nonce)

    def html(self, template: str, brand: Brand, nonce: str, **context: object) -> str:
        """Render a page."""
        pages = self._pages.get(brand.language, self._pages["en"])
        return pages.get_template(template).render(brand=brand, nonce=nonce, **context)


def _logo(session: Session, tenant_id: int, file_id: int | None) -> str:
    if file_id is None:
        return ""
    c = table(StoredFile).c
    digest = session.scalar(select(c.digest).where(c.tenant_id == tenant_id, c.id == file_id))
    return picture_path(tenant_id, file_id, digest) if digest else ""


def _templates(language: str) -> Environment:
    environment = Environment(
        loader=PackageLoader("envoi.tracking"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["language"] = language
    environment.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    return environment
