"""Sample data of the pattern page: the one story that the screens tell, as plain data."""

from __future__ import annotations

from typing import Any

from envoi.errors import Problem
from envoi.webkit import Paging

COLUMNS = [
    {"label": "Status", "key": "status"},
    {"label": "Subject and name", "key": "name"},
    {"label": "Sent on", "key": "sent_at"},
    {"label": "Recipients", "key": "recipients", "num": True},
    {"label": "Delivered", "key": "delivered", "num": True},
    {"label": ""},
]
ROWS = [
    ("sending", 0, "Your coffee is waiting: 20 % off", "Coffee week", "24 Nov 2026", 13257, 8102),
    ("sent", 0, "New in your market", "Weekly leaflet 47", "19 Nov 2026", 171204, 169415),
    ("sent", 312, "Soup season", "Weekly leaflet 46", "12 Nov 2026", 170866, 168770),
    ("draft", 0, "Advent calendar: open door 1", "Advent week 1", None, None, None),
]
STAGES = [
    ("Duplicate address", 0),
    ("Global control group", 0),
    ("Address issue", 71),
    ("Unsubscribed from channel", 404),
    ("Unsubscribed from mailing category", 0),
    ("Suppressed", 0),
    ("Blocked by communication policy", 0),
]
PARTS = [
    ("Sent", 8397, "primary"),
    ("Failed", 41, "red"),
    ("Unconfirmed", 2, "yellow"),
    ("Dropped out before sending", 4, "grey"),
    ("On the wire", 24, "primary-lt"),
    ("Waiting", 4789, "light"),
]
FUNNEL = [
    ("Recipients", 13257, "", "100 %"),
    ("Sent", 13204, "", "99.6 % of recipients"),
    ("Delivered", 13021, "", "98.6 % of sent"),
    ("Opened", 5612, "9,840 times", "43.1 % of delivered"),
    ("Clicked", 1148, "1,502 times", "8.8 % of delivered"),
]
DAYS = [126, 148, 104, 83, 71, 12, 58, 47, 41, 36, 29, 22, 4, 18, 13]
MONTHS = [14, 18, 16, 21, 24, 20, 22, 17, 25, 28, 27, 33]


def samples(url: str) -> dict[str, Any]:
    """Make what the pattern page is given; every link leads back to it."""
    return {
        "columns": COLUMNS,
        "rows": ROWS,
        "paging": Paging(total=38, page=1, size=10),
        "volume": _volume(url),
        "parts": [{"label": n, "count": c, "colour": colour} for n, c, colour in PARTS],
        "funnel_rows": [
            {"label": label, "count": count, "note": note, "rate": rate, "url": url}
            for label, count, note, rate in FUNNEL
        ],
        "groups": _groups(),
        "bars": [
            {"label": str(number), "value": count, "text": str(count)}
            for number, count in enumerate(DAYS, 1)
        ],
        "months": MONTHS,
        "problems": [Problem("sample-subject", "Enter a subject.")],
    }


def _volume(url: str) -> dict[str, Any]:
    return {
        "customers": 14730,
        "url": url,
        "stages": [{"label": label, "count": count, "url": url} for label, count in STAGES],
        "good": {"count": 14255, "url": url},
        "control": {"count": 998, "note": "7 %", "url": url},
        "recipients": {"count": 13257, "url": url},
        "state": "exact",
        "as_of": "counted 09:42:12 CET",
        "again_url": "",
        "why_url": url,
    }


def _groups() -> list[dict[str, Any]]:
    return [
        {"label": "Customers", "main": "13,257", "control": "998"},
        {
            "label": "Buyers",
            "note": "conversion to purchase",
            "main": "24.65 %",
            "main_note": "3,268",
            "control": "21.44 %",
            "control_note": "214",
            "difference": "+3.21 pp",
            "interval": "+0.56 … +5.86",
            "at": 0.15,
            "from": 0.026,
            "to": 0.273,
            "significant": True,
            "p": "p = 0.023",
        },
        {
            "label": "Revenue per customer",
            "main": "€9.84",
            "control": "€8.71",
            "difference": "+€1.13",
            "interval": "−0.48 … +2.74",
            "at": 0.13,
            "from": -0.055,
            "to": 0.315,
            "significant": False,
            "p": "p = 0.17",
        },
    ]
