"""What the core lends channels for compiling content."""

from __future__ import annotations

from envoi.content.links import SlottedHtml, number_links
from envoi.content.mjml import compile_mjml
from envoi.content.templates import JinjaTemplate
from envoi.content.text import plain_text


class Kit:
    """The content kit handed to a channel's `compile` and `preview`."""

    def template(self, source: str, *, html: bool) -> JinjaTemplate:
        """Parse and check a template; raise `TemplateError` with the line."""
        return JinjaTemplate(source, html=html)

    def mjml(self, source: str) -> str:
        """Turn MJML into HTML, bounded in depth, size and time; raise `TemplateError`."""
        return compile_mjml(source)

    def plain_text(self, html: str) -> str:
        """Make a readable text part from HTML that may still hold template syntax."""
        return plain_text(html)

    def number_links(self, html: str) -> SlottedHtml:
        """Cut a slot for every trackable link; raise `TemplateError` for active content."""
        return number_links(html)
