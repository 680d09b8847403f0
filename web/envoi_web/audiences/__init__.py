"""Target audiences: the list, the customers of one, import."""

from envoi_web.audiences import importing, views  # noqa: F401 (they add their routes)
from envoi_web.audiences.blueprint import audiences

__all__ = ["audiences"]
