"""Communication policies: the list, and making and changing one."""

from envoi_web.policies.views import policies

__all__ = ["policies"]
