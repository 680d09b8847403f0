"""Settings of a company: a module for each page, which adds its routes to one blueprint."""

from envoi_web.settings_pages import (  # noqa: F401 (they add their routes)
    api_keys,
    bounces,
    categories,
    design,
    fields,
    gateway_form,
    gateways,
    general,
    operations,
    watchers,
)
from envoi_web.settings_pages.blueprint import settings

__all__ = ["settings"]
