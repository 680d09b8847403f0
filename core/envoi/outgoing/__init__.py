"""The way to servers that companies name; for plugins whose providers connect to one.

A name is resolved once, and what is connected to is the address that was looked at: a name that
means something else a moment later leads nowhere.
"""

from envoi.outgoing.account import (
    AccountSettings,
    Address,
    Seconds,
    Secret,
    Sender,
    TestAddress,
    WebAccount,
    WebConnection,
    by_status,
)
from envoi.outgoing.addresses import allow_private, connect, is_public
from envoi.outgoing.exchange import Client, Request, Result, Unanswered, judged
from envoi.outgoing.http import Answer, HttpClient
from envoi.outgoing.push import apple_body, apple_headers, push_parts
from envoi.outgoing.tls import VerifyCertificate, secured

__all__ = [
    "AccountSettings",
    "Address",
    "Answer",
    "Client",
    "HttpClient",
    "Request",
    "Result",
    "Seconds",
    "Secret",
    "Sender",
    "TestAddress",
    "Unanswered",
    "VerifyCertificate",
    "WebAccount",
    "WebConnection",
    "allow_private",
    "apple_body",
    "apple_headers",
    "by_status",
    "connect",
    "is_public",
    "judged",
    "push_parts",
    "secured",
]
