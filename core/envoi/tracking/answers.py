"""The answers of the tracking process: headers, the pixel, the one 404."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

Environ = dict[str, Any]
Headers = list[tuple[str, str]]

_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'{}; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'"
)
_PLAIN_POLICY = _POLICY.format("")
_MESSAGE_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none';"
    " img-src https: http: data:; style-src 'unsafe-inline'; frame-ancestors 'none'"
)
"""A message is foreign HTML: no script, no form, no cookie, but its links work."""

_ALWAYS = [
    ("Cache-Control", "no-store, private"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Robots-Tag", "noindex, nofollow"),
]
_PIXEL = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)


@dataclass(frozen=True)
class Answer:
    """A complete answer; the same object may be given any number of times."""

    status: str
    headers: Headers
    body: bytes

    def __call__(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """Give the answer, without its body to HEAD."""
        start(self.status, self.headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else self.body]


def answer(status: str, kind: str, body: bytes, *more: tuple[str, str], policy: str = "") -> Answer:
    """Make an answer with the headers that every one carries."""
    length = ("Content-Length", str(len(body)))
    rules = ("Content-Security-Policy", policy or _PLAIN_POLICY)
    return Answer(status, [("Content-Type", kind), length, *_ALWAYS, rules, *more], body)


def page(html: str, nonce: str) -> Answer:
    """A page of HTML; `nonce` allows its style element."""
    policy = _POLICY.format(f" 'nonce-{nonce}'")
    return answer("200 OK", "text/html; charset=utf-8", html.encode(), policy=policy)


def message(html: str) -> Answer:
    """A message's own HTML."""
    return answer("200 OK", "text/html; charset=utf-8", html.encode(), policy=_MESSAGE_POLICY)


def picture(kind: str, body: bytes) -> Answer:
    """A picture at an address of its own: anybody may keep it for ever and show it anywhere."""
    headers = [
        ("Content-Type", kind),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "public, max-age=31536000, immutable"),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", "default-src 'none'; sandbox"),
        ("Cross-Origin-Resource-Policy", "cross-origin"),
        ("X-Robots-Tag", "noindex, nofollow"),
    ]
    return Answer("200 OK", headers, body)


def redirect(location: str) -> Answer:
    """Lead to an address that the run's content contained."""
    return answer("302 Found", "text/plain; charset=utf-8", b"", ("Location", location))


PIXEL = answer("200 OK", "image/gif", _PIXEL)

# The tenant and its language are not known here, so both languages are given; the text does
# not depend on what was wrong.
NOTHING_HERE = answer(
    "404 Not Found",
    "text/html; charset=utf-8",
    (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Not found</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="stylesheet" href="/page.css"></head><body><main>'
        "<h1>The link is not valid</h1><p>Open it from the original message.</p>"
        '<p lang="ru">Ссылка недействительна. Откройте её из исходного письма.</p>'
        "</main></body></html>"
    ).encode(),
)

TRY_LATER = answer(
    "503 Service Unavailable",
    "text/plain; charset=utf-8",
    "Try again in a minute. / Повторите через минуту.\n".encode(),
    ("Retry-After", "60"),
)

UNSUBSCRIBED = answer("200 OK", "text/plain; charset=utf-8", b"Unsubscribed.\n")

REPORTED = {
    200: answer("200 OK", "text/plain; charset=utf-8", b"Written.\n"),
    202: answer("202 Accepted", "text/plain; charset=utf-8", b"Kept for a person to look at.\n"),
    404: answer("404 Not Found", "text/plain; charset=utf-8", b"Nobody reads this any more.\n"),
    401: answer("401 Unauthorized", "text/plain; charset=utf-8", b"The signature is not valid.\n"),
}
"""The answers to webhooks, by status."""

TOO_LARGE = answer("413 Content Too Large", "text/plain; charset=utf-8", b"Send less at a time.\n")
