"""The library: templates to start a mailing from, and the images of messages."""

from envoi_web.library.images import images
from envoi_web.library.templates import templates

__all__ = ["images", "templates"]
