"""The way to servers that companies name; for plugins whose providers connect to one.

A name is resolved once, and what is connected to is the address that was looked at: a name that
means something else a moment later leads nowhere.
"""

from envoi.outgoing.addresses import allow_private, connect, is_public
from envoi.outgoing.http import Answer, HttpClient

__all__ = ["Answer", "HttpClient", "allow_private", "connect", "is_public"]
